package signature_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"linkrelay/signature"
)

const (
	target = "/api/links/jobs?idempotencyKey=a.b"
	nonce  = "nonce-of-this-test"
)

var (
	at     = time.Unix(1735689600, 0)
	signer = signature.Signer{KeyID: "lp_live_Vect0rsOnlyKeyA115GEgn", Secret: "lps_thisSecretIsPublishedAndMustNeverSignForRea3DUFt2"}
)

func parse(t testing.TB, h http.Header) signature.Proof {
	t.Helper()
	p, fault := signature.ParseLinkPeeler(h)
	if fault != nil {
		t.Fatal(fault)
	}
	return p
}

func TestParseReturnsWhatWasSent(t *testing.T) {
	p := parse(t, signer.V2(at, nonce, "GET", target, nil))
	if p.KeyID != signer.KeyID || !p.Timestamp.Equal(at) || p.RawTimestamp != "1735689600" || p.Nonce != nonce || p.V1 {
		t.Errorf("parsed %+v: %v %q %q %v", p, p.Timestamp, p.RawTimestamp, p.Nonce, p.V1)
	}
	if !parse(t, signer.V1(at, nonce, nil)).V1 {
		t.Error("v1 not told apart")
	}
}

// A synthetic clock may stand before September 2001, when ten digits began.
func TestTimestampsAlwaysHaveTenDigits(t *testing.T) {
	early := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	p := parse(t, signer.V2(early, nonce, "GET", target, nil))
	if p.RawTimestamp != "0946684800" || !p.Timestamp.Equal(early) || p.Verify([]string{signer.Secret}, "GET", target, nil) != 0 {
		t.Errorf("timestamp %q is %v", p.RawTimestamp, p.Timestamp)
	}
}

func TestVerifyNamesTheSecret(t *testing.T) {
	body := []byte(`{}`)
	p := parse(t, signer.V2(at, nonce, "POST", target, body))
	other := signature.NewSecret()
	for name, c := range map[string]struct {
		secrets []string
		want    int
	}{
		"unknown key": {nil, -1},
		"only":        {[]string{signer.Secret}, 0},
		"current":     {[]string{signer.Secret, other}, 0},
		"previous":    {[]string{other, signer.Secret}, 1},
		"twice":       {[]string{signer.Secret, signer.Secret}, 0},
		"none":        {[]string{other, signature.NewSecret()}, -1},
	} {
		if got := p.Verify(c.secrets, "POST", target, body); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// A credential without secret must not become one that everybody can use.
func TestEmptySecretMatchesNothing(t *testing.T) {
	p := parse(t, signature.Signer{KeyID: signer.KeyID}.V2(at, nonce, "GET", target, nil))
	if got := p.Verify([]string{""}, "GET", target, nil); got != -1 {
		t.Errorf("index %d", got)
	}
}

// Whoever has no secret learns nothing from the time an answer takes: an
// unknown key costs what a known one costs, whatever secrets that has, and a
// match does not end the search.
func TestVerifyDoesTheSameWork(t *testing.T) {
	body := []byte(`{}`)
	p := parse(t, signer.V2(at, nonce, "POST", target, body))
	one := signature.HMAC{Size: 32, Key: len(signer.Secret), Text: len(p.Base("POST", target, body))}
	wrong, right := signature.NewSecret(), signer.Secret
	for name, c := range map[string]struct {
		secrets []string
		hmacs   int
	}{
		"unknown key":        {nil, signature.MaxSecrets},
		"wrong secret":       {[]string{wrong}, signature.MaxSecrets},
		"two wrong secrets":  {[]string{wrong, wrong}, signature.MaxSecrets},
		"three":              {[]string{wrong, wrong, wrong}, signature.MaxSecrets},
		"more than possible": {[]string{wrong, wrong, wrong, right}, signature.MaxSecrets},
		"right secret":       {[]string{right}, 1},
		"right, then wrong":  {[]string{right, wrong}, 2},
		"wrong, then right":  {[]string{wrong, right}, 2},
	} {
		did := signature.CountHMACs(func() { p.Verify(c.secrets, "POST", target, body) })
		if want := slices.Repeat([]signature.HMAC{one}, c.hmacs); !slices.Equal(did, want) {
			t.Errorf("%s: computed %v, want %v", name, did, want)
		}
	}
}

func TestSignKeepsOtherHeadersAndSignsTheWireTarget(t *testing.T) {
	body := []byte(`{"lease":"x"}`)
	r, err := http.NewRequest(http.MethodPost, "https://relay.example/a%2fb/c?q=1+2&r=%c3%bc#fragment", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(signature.HeaderNonce, "left from an earlier try")
	signer.Sign(r, body)

	var wire bytes.Buffer // what net/http itself would send
	if err := r.Write(&wire); err != nil {
		t.Fatal(err)
	}
	method, rest, _ := strings.Cut(wire.String(), " ")
	sent, _, _ := strings.Cut(rest, " HTTP/1.1")
	p := parse(t, r.Header)
	if p.V1 || p.Verify([]string{signer.Secret}, method, sent, body) != 0 {
		t.Errorf("signature does not cover %s %s", method, sent)
	}
	if r.Header.Get("Content-Type") != "application/json" || len(r.Header) != 5 {
		t.Errorf("headers %v", r.Header)
	}
	if !signature.Fresh(p.Timestamp, time.Now(), time.Minute) {
		t.Errorf("timestamp %v", p.Timestamp)
	}
	first := p.Nonce
	if signer.Sign(r, body); r.Header.Get(signature.HeaderNonce) == first {
		t.Error("the nonce was used twice")
	}
}

func TestSignTakesABareRequest(t *testing.T) {
	r, err := http.NewRequest("", "http://relay.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Method, r.Header = "", nil
	signer.Sign(r, nil)
	p := parse(t, r.Header)
	if p.Verify([]string{signer.Secret}, "GET", "/", nil) != 0 {
		t.Error("a request without method and path is GET /")
	}
}

// A value that was sent is in no error, whichever header or parameter it was
// put in: it may be a secret in the wrong place.
func TestHeaderErrorsEchoNothing(t *testing.T) {
	eachVector(t, all, func(t *testing.T, _ signature.Scheme, v *vector) {
		_, fault := signature.Parse(v.Headers, v.Target)
		if fault == nil {
			return
		}
		if !slices.Contains(signature.Reasons, fault.Reason) {
			t.Errorf("%q is not one of the fixed reasons", fault.Reason)
		}
		_, query, _ := strings.Cut(v.Target, "?")
		values, _ := url.ParseQuery(query)
		for _, sent := range []map[string][]string{v.Headers, values} {
			for _, value := range slices.Concat(slices.Collect(maps.Values(sent))...) {
				if len(value) >= 9 && strings.Contains(fault.Error(), value) {
					t.Errorf("%q holds the received %q", fault, value)
				}
			}
		}
	})
}

func TestReasonsGiveHints(t *testing.T) {
	mac := strings.Repeat("0123456789abcdef", 8)
	for name, c := range map[string]struct{ header, value, hint string }{
		"milliseconds":  {signature.HeaderTimestamp, "1735689600123", "milliseconds"},
		"SHA-1":         {signature.HeaderSignature, "v2=" + mac[:40], "SHA-1"},
		"SHA-512":       {signature.HeaderSignature, mac, "SHA-512"},
		"base64 of hex": {signature.HeaderSignature, base64.StdEncoding.EncodeToString([]byte(mac[:64])), "base64 of the hex digits"},
		"escaped":       {signature.HeaderSignature, "v2%3D" + mac[:64], "percent-encoding"},
	} {
		h := signer.V1(at, nonce, nil)
		h.Set(c.header, c.value)
		_, fault := signature.ParseLinkPeeler(h)
		if fault == nil || fault.Kind != signature.Malformed || fault.Header != c.header || !strings.Contains(fault.Reason, c.hint) {
			t.Errorf("%s: %v", name, fault)
		}
	}
}

// Printing a Signer or a Proof, by whatever verb, shows no secret and no MAC.
func TestPrintingShowsNoSecret(t *testing.T) {
	h := signer.V2(at, nonce, "GET", target, nil)
	p := parse(t, h)
	mac := []byte(h.Get(signature.HeaderSignature)[3:])
	for _, value := range []any{signer, &signer, p, &p, []any{signer, p}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
			text := fmt.Sprintf(verb, value)
			if strings.Contains(text, "lps_") || strings.Contains(text, string(mac[:16])) || strings.Contains(text, "macs") || strings.Contains(text, "0x") || len(text) > 120 {
				t.Errorf("%s: %s", verb, text)
			}
		}
	}
	if text, err := json.Marshal(signer); err != nil || strings.Contains(string(text), "lps_") {
		t.Errorf("JSON %s, %v", text, err)
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	h := signer.V2(at, nonce, "GET", target, nil)
	h.Set(signature.HeaderSignature, strings.Repeat(h.Get(signature.HeaderSignature)+",", 3)+h.Get(signature.HeaderSignature))
	if n := testing.AllocsPerRun(100, func() { _, _ = signature.ParseLinkPeeler(h) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The hot path allocates what HMAC-SHA256 does, and nothing else.
func TestVerifyAllocatesTheHMACOnly(t *testing.T) {
	p, secrets := parse(t, signer.V2(at, nonce, "GET", target, nil)), []string{signer.Secret}
	bare := testing.AllocsPerRun(100, func() { hmac.New(sha256.New, []byte(signer.Secret)) })
	if n := testing.AllocsPerRun(100, func() { p.Verify(secrets, "GET", target, nil) }); n > bare {
		t.Errorf("%v allocations, where HMAC-SHA256 needs %v", n, bare)
	}
}
