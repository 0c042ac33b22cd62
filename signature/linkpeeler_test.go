package signature_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
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
// unknown key costs what a known one costs, and a match does not end the search.
// The body is large so that HMACs are all that is measured; one of them more or
// less is a factor, so the bounds can be wide, and the cases take turns so that
// a busy machine slows all of them.
func TestVerifyDoesTheSameWork(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 1<<20)
	p := parse(t, signer.V2(at, nonce, "POST", target, body))
	other := signature.NewSecret()
	cases := []struct {
		name    string
		secrets []string
		hmacs   float64
		best    float64
	}{
		{name: "wrong secret", secrets: []string{other}, hmacs: 1},
		{name: "unknown key", secrets: nil, hmacs: 1},
		{name: "right secret", secrets: []string{signer.Secret}, hmacs: 1},
		{name: "right, then wrong", secrets: []string{signer.Secret, other}, hmacs: 2},
		{name: "wrong, then right", secrets: []string{other, signer.Secret}, hmacs: 2},
	}
	for round := range 20 {
		for i := range cases {
			start := time.Now()
			p.Verify(cases[i].secrets, "POST", target, body)
			took := float64(time.Since(start))
			if round == 0 || took < cases[i].best {
				cases[i].best = took
			}
		}
	}
	for _, c := range cases {
		if hmacs := c.best / cases[0].best; hmacs < 0.65*c.hmacs || hmacs > 1.5*c.hmacs {
			t.Errorf("%s: took as long as %.2f HMACs, want %.0f", c.name, hmacs, c.hmacs)
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

// A value that was sent is in no error, whichever header it was put in: it may
// be a secret in the wrong place.
func TestHeaderErrorsEchoNothing(t *testing.T) {
	for _, v := range vectors(t) {
		_, fault := signature.ParseLinkPeeler(v.Headers)
		if fault == nil {
			continue
		}
		if !slices.Contains(signature.Reasons, fault.Reason) {
			t.Errorf("%s: %q is not one of the fixed reasons", v.Name, fault.Reason)
		}
		for _, values := range v.Headers {
			for _, value := range values {
				if len(value) >= 9 && strings.Contains(fault.Error(), value) {
					t.Errorf("%s: %q holds the received %q", v.Name, fault, value)
				}
			}
		}
	}
}

func TestReasonsGiveHints(t *testing.T) {
	for header, c := range map[string]struct{ value, hint string }{
		signature.HeaderTimestamp: {"1735689600123", "milliseconds"},
		signature.HeaderSignature: {"v2=R1IpNJv+VmGLSyk1JXYsYTR2eWuzNnJ0Y2FzZTEyMzQ=", "base64"},
	} {
		h := signer.V1(at, nonce, nil)
		h.Set(header, c.value)
		_, fault := signature.ParseLinkPeeler(h)
		if fault == nil || fault.Kind != signature.Malformed || fault.Header != header || !strings.Contains(fault.Reason, c.hint) {
			t.Errorf("%s %q: %v", header, c.value, fault)
		}
	}
}

// Printing a Signer or a LinkPeeler, by whatever verb, shows no secret and no MAC.
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
