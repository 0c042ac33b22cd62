package signature_test

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"linkrelay/signature"
)

const (
	nonceUUID = "6f1e9a52-3c4b-4d8e-9f70-1a2b3c4d5e6f"
	keyUUID   = "0b8f3c1d-7e6a-4f5b-8c9d-aabbccddeeff"
)

var job = signature.QueryJob{IdempotencyKey: "order-1042", TrackingURL: "https://click.example/c?id=7&to=a+b", Source: "bülten", RowID: "1 + 1"}

func TestDetect(t *testing.T) {
	const query = "/api/links/jobs?AccessID=x&Expires=1&Signature=y"
	for name, c := range map[string]struct {
		headers string // names, with any value
		target  string
		want    signature.Scheme
	}{
		"nothing":                        {"", "/", signature.SchemeLinkPeeler},
		"Authorization only":             {"Authorization", "/", signature.SchemeLinkPeeler},
		"link-peeler":                    {"X-Link-Peeler-Signature", "/", signature.SchemeLinkPeeler},
		"any of its headers":             {"X-Link-Peeler-Nonce", "/", signature.SchemeLinkPeeler},
		"before iklim":                   {"X-Link-Peeler-Key X-Signature X-Api-Key", "/", signature.SchemeLinkPeeler},
		"before signed-query":            {"X-Link-Peeler-Key", query, signature.SchemeLinkPeeler},
		"iklim":                          {"X-Signature", "/", signature.SchemeIklim},
		"iklim before signed-query":      {"X-Signature", query, signature.SchemeIklim},
		"iklim without its signature":    {"X-Api-Key", "/", signature.SchemeIklim},
		"signed-query":                   {"", query, signature.SchemeSignedQuery},
		"before a gateway's X-Api-Key":   {"X-Api-Key", query, signature.SchemeSignedQuery},
		"its signature only":             {"", "/?Signature=", signature.SchemeSignedQuery},
		"the alias only":                 {"", "/?a=b&signedAuthentication=y", signature.SchemeSignedQuery},
		"escaped":                        {"", "/?%53ignature=y", signature.SchemeSignedQuery},
		"Expires only, which others use": {"", "/?Expires=1", signature.SchemeLinkPeeler},
		"in the path":                    {"", "/AccessID=x", signature.SchemeLinkPeeler},
		"in a value":                     {"", "/?a=AccessID=x", signature.SchemeLinkPeeler},
		"headers of neither":             {"X-Timestamp X-Nonce X-Idempotency-Key", "/", signature.SchemeLinkPeeler},
	} {
		h := http.Header{}
		for _, name := range strings.Fields(c.headers) {
			h.Set(name, "x")
		}
		if got := signature.Detect(h, c.target); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func iklim(t testing.TB, h http.Header, target string) signature.Proof {
	t.Helper()
	p, fault := signature.ParseIklim(h, target)
	if fault != nil {
		t.Fatal(fault)
	}
	return p
}

// Once is equal exactly for equal signed bytes: what the signature does not
// cover, and the form in which it was sent, make no difference.
func TestOnce(t *testing.T) {
	const fetch = "/api/links/fetch"
	body := []byte(`{"rowId":"row-17"}`)
	h := signer.Iklim(at, nonceUUID, keyUUID, "POST", fetch, body)
	p := iklim(t, h, fetch)
	first := p.Once("POST", fetch, body)
	if len(first) != 64 || strings.Contains(h.Get(signature.HeaderIklimSignature), first) {
		t.Fatalf("%q", first)
	}

	again := signer.Iklim(at, keyUUID, nonceUUID, "POST", fetch, body)
	again.Set(signature.HeaderIklimSignature, strings.ToUpper(again.Get(signature.HeaderIklimSignature)))
	p = iklim(t, again, fetch)
	if got := p.Once("POST", fetch, body); got != first {
		t.Errorf("the same bytes under a fresh nonce: %q, first %q", got, first)
	}

	seen := map[string]string{"the first": first}
	for name, c := range map[string]struct {
		at             time.Time
		method, target string
		body           string
	}{
		"another millisecond": {at.Add(time.Millisecond), "POST", fetch, string(body)},
		"another method":      {at, "PUT", fetch, string(body)},
		"another target":      {at, "POST", fetch + "?", string(body)},
		"another body":        {at, "POST", fetch, string(body) + "\n"},
		"no body":             {at, "POST", fetch, ""},
	} {
		p := iklim(t, signer.Iklim(c.at, nonceUUID, keyUUID, c.method, c.target, []byte(c.body)), c.target)
		got := p.Once(c.method, c.target, []byte(c.body))
		for other, once := range seen {
			if got == once {
				t.Errorf("%s and %s: both %q", name, other, got)
			}
		}
		seen[name] = got
	}
	for _, p := range []signature.Proof{parse(t, signer.V1(at, nonce, body)), parse(t, signer.V2(at, nonce, "POST", fetch, body)), queryProof(t, "/?"+signer.ReadQuery(at))} {
		if got := p.Once("POST", fetch, body); got != "" {
			t.Errorf("%s: %q, though its signatures are not single-use", p.Scheme, got)
		}
	}
}

func TestIklimReadsWhatWasSent(t *testing.T) {
	moment := at.Add(123*time.Millisecond + 999*time.Microsecond)
	p := iklim(t, signer.Iklim(moment, strings.ToUpper(nonceUUID), strings.ToUpper(keyUUID), "GET", target, nil), target)
	if p.KeyID != signer.KeyID || p.RawTimestamp != "1735689600123" || !p.Timestamp.Equal(at.Add(123*time.Millisecond)) || p.Timestamp.Location() != time.UTC {
		t.Errorf("%s: %q is %v", p.KeyID, p.RawTimestamp, p.Timestamp)
	}
	if p.Nonce != nonceUUID || p.IdempotencyKey != keyUUID {
		t.Errorf("nonce %q, idempotency key %q", p.Nonce, p.IdempotencyKey)
	}
	if !p.Fresh(moment.Add(time.Minute), time.Minute+time.Second) || p.Fresh(moment.Add(time.Minute), 59*time.Second) {
		t.Error("freshness is that of the timestamp")
	}
	if p.Verify([]string{signer.Secret}, "GET", target, nil) != 0 {
		t.Error("refused")
	}
}

func queryProof(t testing.TB, target string) signature.Proof {
	t.Helper()
	p, fault := signature.ParseSignedQuery(target)
	if fault != nil {
		t.Fatal(fault)
	}
	return p
}

// A signed URL may be used until it expires, that second included, and not when
// it expires more than MaxQueryAhead from now. The skew is no matter.
func TestSignedQueryIsFreshUntilItExpires(t *testing.T) {
	p := queryProof(t, "/?"+signer.ReadQuery(at))
	for left, want := range map[time.Duration]bool{
		0: true, time.Second: true, 1: true, -1: true, 1 - time.Second: true, -time.Second: false, -time.Hour: false,
		signature.MaxQueryAhead: true, signature.MaxQueryAhead - 1: true, signature.MaxQueryAhead + time.Second: false, 1e18: false, -1e18: false,
	} {
		for _, skew := range []time.Duration{0, time.Hour} {
			if got := p.Fresh(at.Add(-left), skew); got != want {
				t.Errorf("%v left, skew %v: %v, want %v", left, skew, got, want)
			}
		}
	}
	for _, expires := range []string{"0000000000", "9999999999"} {
		p := queryProof(t, "/?AccessID=x&Expires="+expires+"&Signature="+strings.Repeat("0", 64))
		if p.Fresh(at, time.Hour) {
			t.Errorf("%s is fresh", expires)
		}
	}
}

// What the signer makes of any values is what the verifier reads: percent signs,
// plus signs and letters beyond ASCII included.
func TestCreateQueryCarriesItsValues(t *testing.T) {
	const secret = "lps_thisSecretIsPublishedAndMustNeverSignForRea3DUFt2"
	for _, j := range []signature.QueryJob{job, {}, {RowID: "&AccessID=x#|\\%41"}} {
		target := "/api/links/fetch?" + signer.CreateQuery(at, j)
		p := queryProof(t, target)
		p.Creates = true
		if got := signature.QueryJobOf(target); got != j {
			t.Errorf("%+v became %+v", j, got)
		}
		if p.KeyID != signer.KeyID || !p.Timestamp.Equal(at) || p.Nonce != "" || p.Verify([]string{secret}, "GET", target, nil) != 0 {
			t.Errorf("%+v: refused", j)
		}
		p.Creates = false
		if p.Verify([]string{secret}, "GET", target, nil) != -1 {
			t.Error("a signature for creating reads")
		}
	}
}

// A line break inside a value would let one signature create two jobs. Verify
// does not look for control characters: its caller refuses them, as the comment
// on QueryJob says. This shows why it must.
func TestLineBreaksInValuesAreAmbiguous(t *testing.T) {
	signed := signature.QueryJob{IdempotencyKey: "a\nhttps://one.example/", TrackingURL: "https://two.example/", Source: "s", RowID: "r"}
	moved := signature.QueryJob{IdempotencyKey: "a", TrackingURL: "https://one.example/\nhttps://two.example/", Source: "s", RowID: "r"}
	first, second := queryProof(t, "/?"+signer.CreateQuery(at, signed)), queryProof(t, "/?"+signer.CreateQuery(at, moved))
	first.Creates, second.Creates = true, true
	if a, b := first.Base("GET", "/?"+signer.CreateQuery(at, signed), nil), second.Base("GET", "/?"+signer.CreateQuery(at, moved), nil); string(a) != string(b) {
		t.Errorf("%q and %q", a, b)
	}
}

// Two repeated parameters are one to the signature, the first: the caller
// refuses the second, whichever it would have used.
func TestRepeatedValuesAreReadOnce(t *testing.T) {
	if got := signature.QueryJobOf("/?rowId=1&rowId=2&rowI%64=3&source=%zz&source=s"); got.RowID != "1" || got.Source != "" {
		t.Errorf("%+v", got)
	}
}

func TestParameterErrorsSayParameter(t *testing.T) {
	_, fault := signature.ParseSignedQuery("/?AccessID=x&Expires=1735689600")
	if fault == nil || fault.Header != "" || fault.Parameter != "Signature" || !strings.HasPrefix(fault.Error(), "signature: parameter missing: Signature must be ") {
		t.Error(fault)
	}
	_, fault = signature.ParseIklim(http.Header{}, "/")
	if fault == nil || fault.Parameter != "" || !strings.HasPrefix(fault.Error(), "signature: header missing: X-Api-Key must be ") {
		t.Error(fault)
	}
}

// A MAC in base64 where hex is required is never accepted, however right; one
// in hex beside it is.
func TestBase64DoesNotVerifyWhereHexIsRequired(t *testing.T) {
	const fetch = "/api/links/fetch"
	hexed := signer.V2(at, nonce, "POST", fetch, nil).Get(signature.HeaderSignature)
	coded := "v2=" + base64Of(t, hexed[3:])
	for value, want := range map[string]int{coded: -1, hexed: 0, coded + "," + hexed: 0, hexed + "," + coded: 0, coded + "," + coded: -1} {
		h := signer.V2(at, nonce, "POST", fetch, nil)
		h.Set(signature.HeaderSignature, value)
		p := parse(t, h)
		if got := p.Verify([]string{signer.Secret}, "POST", fetch, nil); got != want {
			t.Errorf("%s: %d, want %d", value, got, want)
		}
	}
}

func base64Of(t *testing.T, digits string) string {
	t.Helper()
	raw, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}
