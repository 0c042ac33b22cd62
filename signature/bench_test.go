package signature_test

import (
	"bytes"
	"strings"
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

// BenchmarkDiagnose is what a wrong signature costs beyond that: for a usual
// body, and for the largest, of a form for which every rewriting is another text.
func BenchmarkDiagnose(b *testing.B) {
	const target = "/api/links/fetch?a=%2Fb"
	for name, body := range map[string]string{
		"usual":   `{"idempotencyKey":"order-1042","trackingUrl":"https://click.example/c?id=7","source":"newsletter","rowId":"row-17"}`,
		"16KiB":   `{"b" : "\u00fcü/", "a":"` + strings.Repeat("x", 16<<10-30) + `"} `,
		"objects": `{ "":"` + strings.Repeat("ü", 6900) + `"` + strings.Repeat(`,"":0`, 508) + `} `,
		"escapes": `{ "a":"` + strings.Repeat("ü", 8180) + `"} `,
	} {
		b.Run(name, func(b *testing.B) {
			h := signer.V2(at, nonce, "POST", target, []byte("another"))
			p := parse(b, h)
			secrets := []string{signer.Secret}
			b.ReportAllocs()
			for b.Loop() {
				if said := p.Diagnose(secrets, "POST", target, []byte(body)); said != "" {
					b.Fatal(said)
				}
			}
		})
	}
}
