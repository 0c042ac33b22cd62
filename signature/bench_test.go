package signature_test

import (
	"bytes"
	"testing"
	"time"

	"linkrelay/signature"
)

// BenchmarkLinkPeeler is the share of a request that this package costs: read
// the headers and verify 130 bytes of body.
func BenchmarkLinkPeeler(b *testing.B) {
	signer := signature.Signer{KeyID: signature.NewKeyID(signature.KindLive), Secret: signature.NewSecret()}
	secrets, body := []string{signer.Secret}, bytes.Repeat([]byte("x"), 130)
	h := signer.V2(time.Now(), signature.NewNonce(), "POST", "/api/links/fetch", body)
	b.ReportAllocs()
	for b.Loop() {
		p, _ := signature.ParseLinkPeeler(h)
		if p.Verify(secrets, "POST", "/api/links/fetch", body) != 0 {
			b.Fatal("refused")
		}
	}
}
