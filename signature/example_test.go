package signature_test

import (
	"fmt"
	"net/http"
	"time"

	"linkrelay/signature"
)

func ExampleSigner_V1() {
	signer := signature.Signer{KeyID: "lp_live_Vect0rsOnlyKeyA115GEgn", Secret: "lps_thisSecretIsPublishedAndMustNeverSignForRea3DUFt2"}
	h := signer.V1(time.Unix(1735689600, 0), "n0nce-For_vectors-0001", []byte(`{"rowId":"row-17"}`))
	fmt.Println(h.Get(signature.HeaderTimestamp))
	fmt.Println(h.Get(signature.HeaderSignature))
	// Output:
	// 1735689600
	// 71c95619c3c5470f50bcc82f83fb745505a8feafec5bfea4aa8555316113f3cc
}

func ExampleSigner_V2() {
	signer := signature.Signer{KeyID: "lp_live_Vect0rsOnlyKeyA115GEgn", Secret: "lps_thisSecretIsPublishedAndMustNeverSignForRea3DUFt2"}
	h := signer.V2(time.Unix(1735689600, 0), "n0nce-For_vectors-0001", http.MethodGet, "/api/links/quota", nil)
	fmt.Println(h.Get(signature.HeaderSignature))
	// Output: v2=4eae06fb0d046aa2d87cc9c201e46e7e8b4ad53dcc32d205e2354181e74b21cd
}

func ExampleSigner_Sign() {
	signer := signature.Signer{KeyID: signature.NewKeyID(signature.KindLive), Secret: signature.NewSecret()}
	r, _ := http.NewRequest(http.MethodGet, "https://relay.example/api/links/quota", nil)
	signer.Sign(r, nil)

	p, fault := signature.ParseLinkPeeler(r.Header)
	fmt.Println(fault == nil, p.V1, p.Verify([]string{signer.Secret}, r.Method, r.URL.RequestURI(), nil))
	// Output: true false 0
}

// A verifier reads the headers, checks the time, looks up the key's secrets
// (none for an unknown key) and only then answers.
func ExampleParseLinkPeeler() {
	secret := "lps_thisSecretIsPublishedAndMustNeverSignForRea3DUFt2"
	signer := signature.Signer{KeyID: "lp_live_Vect0rsOnlyKeyA115GEgn", Secret: secret}
	now, skew := time.Unix(1735689700, 0), 5*time.Minute
	body := []byte(`{"rowId":"row-17"}`)
	h := signer.V2(time.Unix(1735689600, 0), "n0nce-For_vectors-0001", "POST", "/api/links/fetch", body)

	p, fault := signature.ParseLinkPeeler(h)
	if fault != nil {
		fmt.Println(fault)
		return
	}
	fmt.Println("fresh:", signature.Fresh(p.Timestamp, now, skew))
	fmt.Println("signed by secret:", p.Verify([]string{"lps_another", secret}, "POST", "/api/links/fetch", body))
	fmt.Println("tampered body:", p.Verify([]string{"lps_another", secret}, "POST", "/api/links/fetch", body[1:]))
	fmt.Println("remember the nonce for:", signature.NonceTTL(p.Timestamp, now, skew))
	// Output:
	// fresh: true
	// signed by secret: 1
	// tampered body: -1
	// remember the nonce for: 3m50s
}

func ExampleParseLinkPeeler_fault() {
	h := http.Header{}
	h.Set(signature.HeaderKey, "lp_live_Vect0rsOnlyKeyA115GEgn")
	h.Set(signature.HeaderTimestamp, "1735689600000")
	h.Set(signature.HeaderNonce, signature.NewNonce())
	h.Set(signature.HeaderSignature, "v2=…")

	_, fault := signature.ParseLinkPeeler(h)
	fmt.Println(fault.Kind, fault.Header)
	fmt.Println(fault.Reason)
	// Output:
	// malformed X-Link-Peeler-Timestamp
	// must be the time of signing as unix seconds, exactly 10 digits; 13 digits look like milliseconds
}

func ExampleParseKeyID() {
	fmt.Println(signature.ParseKeyID("lp_live_Vect0rsOnlyKeyA115GEgn"))
	fmt.Println(signature.ParseKeyID("lp_live_Vect0rs0nlyKeyA115GEgn")) // O typed as 0
	// Output:
	// live true
	//  false
}

func ExampleNormalizeLinkCode() {
	fmt.Println(signature.NormalizeLinkCode("7zq4 – 9k2m – oxwd – c3hb"))
	// Output: 7ZQ49K2M0XWDC3HB
}
