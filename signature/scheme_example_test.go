package signature_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"linkrelay/signature"
)

func ExampleSigner_Iklim() {
	signer := signature.Signer{KeyID: "lp_live_Vect0rsOnlyKeyA115GEgn", Secret: "lps_thisSecretIsPublishedAndMustNeverSignForRea3DUFt2"}
	h := signer.Iklim(time.UnixMilli(1735689600123), "6f1e9a52-3c4b-4d8e-9f70-1a2b3c4d5e6f", "0b8f3c1d-7e6a-4f5b-8c9d-aabbccddeeff",
		http.MethodPost, "/api/links/fetch", []byte(`{"rowId":"row-17"}`))
	for _, name := range []string{signature.HeaderIklimTimestamp, signature.HeaderIklimSignature} {
		fmt.Println(name+":", h.Get(name))
	}
	// Output:
	// X-Timestamp: 1735689600123
	// X-Signature: 764ec7eb44ca3fa96702ff218374e4dd948051981b1d935ac946ceaf7169efa0
}

func ExampleSigner_ReadQuery() {
	signer := signature.Signer{KeyID: "lp_live_Vect0rsOnlyKeyA115GEgn", Secret: "lps_thisSecretIsPublishedAndMustNeverSignForRea3DUFt2"}
	fmt.Println("/api/links/quota?" + signer.ReadQuery(time.Unix(1735690200, 0)))
	// Output: /api/links/quota?AccessID=lp_live_Vect0rsOnlyKeyA115GEgn&Expires=1735690200&Signature=t56k7sDMvg3yGkA5ay2hJ6uA00AKWfN4p%2B1qX%2FzAumo%3D
}

func ExampleSigner_CreateQuery() {
	signer := signature.Signer{KeyID: "lp_live_Vect0rsOnlyKeyA115GEgn", Secret: "lps_thisSecretIsPublishedAndMustNeverSignForRea3DUFt2"}
	query := signer.CreateQuery(time.Unix(1735690200, 0), signature.QueryJob{
		IdempotencyKey: "order-1042", TrackingURL: "https://click.example/c?id=7", Source: "newsletter", RowID: "row-17",
	})
	fmt.Println("/api/links/fetch?" + strings.ReplaceAll(query, "&", "\n  &"))
	// Output:
	// /api/links/fetch?idempotencyKey=order-1042
	//   &trackingUrl=https%3A%2F%2Fclick.example%2Fc%3Fid%3D7
	//   &source=newsletter
	//   &rowId=row-17
	//   &AccessID=lp_live_Vect0rsOnlyKeyA115GEgn
	//   &Expires=1735690200
	//   &Signature=Os%2FhH3%2BzP%2FMRsBED5w6Bvb2IAkOLdYEMp6lgNBFgWDc%3D
}

// A verifier need not know beforehand how a request is signed.
func ExampleParse() {
	signer := signature.Signer{KeyID: "lp_live_Vect0rsOnlyKeyA115GEgn", Secret: "lps_thisSecretIsPublishedAndMustNeverSignForRea3DUFt2"}
	at, body := time.Unix(1735689600, 0), []byte(`{"rowId":"row-17"}`)
	const fetch, uuid = "/api/links/fetch", "6f1e9a52-3c4b-4d8e-9f70-1a2b3c4d5e6f"
	for _, r := range []struct {
		headers http.Header
		target  string
	}{
		{signer.V1(at, "n0nce-For_vectors-0001", body), fetch},
		{signer.Iklim(at, uuid, uuid, "POST", fetch, body), fetch},
		{nil, "/api/links/quota?" + signer.ReadQuery(at.Add(5*time.Minute))},
	} {
		p, fault := signature.Parse(r.headers, r.target)
		if fault != nil {
			fmt.Println(fault)
			continue
		}
		fmt.Println(p.Scheme, p.Verify([]string{signer.Secret}, "POST", r.target, body), p.Fresh(at, 5*time.Minute))
	}
	// Output:
	// link-peeler 0 true
	// iklim 0 true
	// signed-query 0 true
}

func ExampleParseSignedQuery_fault() {
	_, fault := signature.ParseSignedQuery("/api/links/quota?AccessID=lp_live_Vect0rsOnlyKeyA115GEgn&Expires=1735690200000&Signature=x")
	fmt.Println(fault.Kind, fault.Parameter)
	fmt.Println(fault.Reason)
	// Output:
	// malformed Expires
	// must be when the request expires as unix seconds, exactly 10 digits; 13 digits look like milliseconds
}

// Whoever holds the secret is told what is wrong, and nobody else.
func ExampleProof_Diagnose() {
	signer := signature.Signer{KeyID: "lp_live_Vect0rsOnlyKeyA115GEgn", Secret: "lps_thisSecretIsPublishedAndMustNeverSignForRea3DUFt2"}
	signed, sent := []byte(`{"rowId":"row-17"}`), []byte(`{"rowId": "row-17"}`)
	h := signer.V2(time.Unix(1735689600, 0), "n0nce-For_vectors-0001", "POST", "/api/links/fetch", signed)

	p, _ := signature.Parse(h, "/api/links/fetch")
	fmt.Println(p.Verify([]string{signer.Secret}, "POST", "/api/links/fetch", sent))
	fmt.Println(p.Diagnose([]string{signer.Secret}, "POST", "/api/links/fetch", sent))
	fmt.Printf("%q\n", p.Diagnose(nil, "POST", "/api/links/fetch", sent))
	// Output:
	// -1
	// The body was serialised twice, and signed as compact JSON, which is not what was sent: sign the bytes that are sent, or send the bytes that were signed.
	// ""
}

// Anybody can sign with an empty key, so this is no proof of anything, and the
// relay says nothing about it.
func ExampleProof_DiagnoseOffline() {
	const secret = "lps_thisSecretIsPublishedAndMustNeverSignForRea3DUFt2"
	signer := signature.Signer{KeyID: "lp_live_Vect0rsOnlyKeyA115GEgn", Secret: ""} // a variable was not set
	h := signer.V1(time.Unix(1735689600, 0), "n0nce-For_vectors-0001", nil)

	p, _ := signature.Parse(h, "/api/links/fetch")
	fmt.Printf("%q\n", p.Diagnose([]string{secret}, "POST", "/api/links/fetch", nil))
	fmt.Println(p.DiagnoseOffline(secret, "POST", "/api/links/fetch", nil))
	// Output:
	// ""
	// The HMAC's key was empty (a variable that is not set, or a secret that was hex-decoded to nothing): the key is the secret's own text, lps_ included.
}

func ExampleMistake() {
	for _, m := range signature.Mistakes {
		if slices.Contains(m.Schemes, signature.SchemeSignedQuery) && strings.HasPrefix(m.Name, "line-breaks") {
			fmt.Println(m.Name + ": " + m.Sentence)
		}
	}
	// Output:
	// line-breaks-missing: The values were signed with nothing between them: put one line break (byte 0A) between them, and none at the end.
	// line-breaks-as-text: A backslash and an n were signed between the values: sign a real line break (byte 0A), which PHP makes of "\n" in double quotes, and a shell with printf.
	// line-breaks-crlf: The lines were signed with CR LF between them: sign a single line break (byte 0A).
}
