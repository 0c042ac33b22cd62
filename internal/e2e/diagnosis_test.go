package e2e_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"linkrelay/relay"
	"linkrelay/signature"
)

// sheet is a request before it is signed, written down without our signer.
type sheet struct {
	scheme               relay.Scheme
	key                  key
	time, nonce          string
	method, target, body string
	values               []string // of signed-query: the lines behind AccessID and Expires
}

// base is what is to be signed, with another method, target or body.
func (s sheet) base(method, target, body string) string {
	switch s.scheme {
	case relay.SchemeIklim:
		return strings.Join([]string{method, target, s.time, body}, "|")
	case relay.SchemeSignedQuery:
		return strings.Join(append([]string{s.key.id, s.time}, s.values...), "\n")
	default:
		return strings.Join([]string{s.time, s.nonce, method, target, body}, ".")
	}
}

// signed is the request with this text as its signature.
func (s sheet) signed(text string) request {
	r := request{s.method, s.target, http.Header{}, s.body}
	if s.body != "" {
		r.header = jsonHeader(r.header)
	}
	switch s.scheme {
	case relay.SchemeIklim:
		for name, value := range map[string]string{
			signature.HeaderIklimKey: s.key.id, signature.HeaderIklimTimestamp: s.time, signature.HeaderIklimSignature: text,
			signature.HeaderIklimNonce: s.nonce, signature.HeaderIklimIdempotency: someOrder,
		} {
			r.header.Set(name, value)
		}
	case relay.SchemeSignedQuery:
		r.target = joinQuery(s.target, "AccessID="+s.key.id+"&Expires="+s.time+"&Signature="+url.QueryEscape(text))
	default:
		for name, value := range map[string]string{
			signature.HeaderKey: s.key.id, signature.HeaderTimestamp: s.time, signature.HeaderNonce: s.nonce, signature.HeaderSignature: text,
		} {
			r.header.Set(name, value)
		}
	}
	return r
}

// slip is one way to sign wrongly. What it does not name is done right.
type slip struct {
	method, target, body string // of another request than the usual one
	values               []string
	text                 func(s sheet) string    // what is signed
	key                  func(s string) string   // what is made of the secret
	swapped              bool                    // the HMAC's arguments
	algorithm            func() hash.Hash        // instead of SHA-256
	sent                 func(mac []byte) string // how the MAC is written
}

const (
	someOrder = "0b6f6a5e-5a39-4f6e-9d3b-7a51e0c7f1aa"

	someBody = `{"source":"a/b","trackingUrl":"https://click.example/c/7","rowId":"ü","idempotencyKey":"` + someOrder + `"}`
	compact  = `{"source":"a/b","trackingUrl":"https://click.example/c/7","rowId":"x","idempotencyKey":"` + someOrder + `"}`
	spaced   = `{"source": "a/b", "trackingUrl": "https://click.example/c/7", "rowId": "x", "idempotencyKey": "` + someOrder + `"}`
	sorted   = `{"idempotencyKey":"` + someOrder + `","rowId":"x","source":"a/b","trackingUrl":"https://click.example/c/7"}`
	indented = "{\n  \"source\": \"a/b\",\n  \"trackingUrl\": \"https://click.example/c/7\",\n  \"rowId\": \"x\",\n  \"idempotencyKey\": \"" + someOrder + "\"\n}"
	escaped  = `{"source":"a\/b","trackingUrl":"https:\/\/click.example\/c\/7","rowId":"\u00fc","idempotencyKey":"` + someOrder + `"}`

	creating = "/api/links/fetch?source=a+b&trackingUrl=https%3A%2F%2Fclick.example%2Fc%2F7&rowId=7&idempotencyKey=order-7"
)

var jobLines = []string{"order-7", "https://click.example/c/7", "a b", "7"}

// instead signs another body than the one that is sent.
func instead(body string) func(sheet) string {
	return func(s sheet) string { return s.base(s.method, s.target, body) }
}

func linesOf(parts ...string) string { return strings.Join(parts, "\n") }

// slips are the mistakes that can be made with every scheme, or with both that
// use headers, by the name that signature.Mistakes gives them.
var slips = map[string]slip{
	"signature-in-base64":     {sent: base64.StdEncoding.EncodeToString},
	"final-separator-missing": {method: "GET", target: "/api/links/quota", text: func(s sheet) string { base := s.base(s.method, s.target, ""); return base[:len(base)-1] }},
	"signed-query-base":       {text: func(s sheet) string { return linesOf(s.key.id, s.time) }},
	"body-only":               {text: func(s sheet) string { return s.body }},
	"path-without-query":      {method: "GET", target: "/api/links/jobs?idempotencyKey=order-7", text: func(s sheet) string { return s.base(s.method, "/api/links/jobs", "") }},
	"whole-url":               {text: func(s sheet) string { return s.base(s.method, "http://relay.example"+s.target, s.body) }},
	"target-decoded":          {method: "GET", target: "/api/links/jobs?idempotencyKey=order%207", text: func(s sheet) string { return s.base(s.method, "/api/links/jobs?idempotencyKey=order 7", "") }},
	"method-in-lower-case":    {text: func(s sheet) string { return s.base("post", s.target, s.body) }},
	"body-missing":            {text: instead("")},
	"body-not-sent":           {method: "GET", target: "/api/links/quota", text: instead("{}")},
	"body-trimmed":            {body: " " + someBody + "\r\n", text: instead(someBody)},
	"line-break-at-end":       {text: func(s sheet) string { return s.base(s.method, s.target, s.body) + "\n" }},
	"body-line-ends":          {body: strings.ReplaceAll(indented, "\n", "\r\n"), text: instead(indented)},
	"body-indented":           {body: strings.ReplaceAll(indented, "\n", ""), text: instead(indented + "\n")},
	"body-compact":            {body: spaced, text: instead(compact)},
	"body-spaced":             {body: compact, text: instead(spaced)},
	"body-sorted":             {body: compact, text: instead(sorted)},
	"body-escaped":            {body: someBody, text: instead(escaped)},
	"arguments-swapped":       {swapped: true},
	"secret-hex-decoded":      {key: perlHex},
	"secret-base64-decoded": {key: func(s string) string {
		raw, _ := base64.StdEncoding.DecodeString(s[len("lps_") : len(s)-1]) // 48 of 49 characters, as lenient decoders take them
		return string(raw)
	}},
	"secret-with-line-break": {key: func(s string) string { return s + "\n" }},
	"secret-with-quotes":     {key: func(s string) string { return `"` + s + `"` }},
	"secret-with-space":      {key: func(s string) string { return " " + s }},
	"secret-without-prefix":  {key: func(s string) string { return s[len("lps_"):] }},
}

// schemeSlips are the mistakes of one scheme, and what is different there.
var schemeSlips = map[relay.Scheme]map[string]slip{
	relay.SchemeLinkPeeler: {
		"signature-in-base64": {sent: func(mac []byte) string { return "v2=" + base64.StdEncoding.EncodeToString(mac) }},
		"timestamp-in-milliseconds": {text: func(s sheet) string {
			return strings.Join([]string{s.time + "000", s.nonce, s.method, s.target, s.body}, ".")
		}},
		"dots-missing":           {text: func(s sheet) string { return s.time + s.nonce + s.method + s.target + s.body }},
		"v1-sent-as-v2":          {text: func(s sheet) string { return s.time + "." + s.nonce + "." + s.body }},
		"v2-sent-as-v1":          {target: "/api/links/fetch", sent: hex.EncodeToString},
		"nonce-missing":          {text: func(s sheet) string { return strings.Join([]string{s.time, s.method, s.target, s.body}, ".") }},
		"nonce-before-timestamp": {text: func(s sheet) string { return strings.Join([]string{s.nonce, s.time, s.method, s.target, s.body}, ".") }},
		"iklim-base":             {text: func(s sheet) string { return strings.Join([]string{s.method, s.target, s.time, s.body}, "|") }},
	},
	relay.SchemeIklim: {
		"timestamp-in-seconds":    {text: func(s sheet) string { return strings.Join([]string{s.method, s.target, s.time[:10], s.body}, "|") }},
		"pipes-missing":           {text: func(s sheet) string { return s.method + s.target + s.time + s.body }},
		"link-peeler-base":        {text: func(s sheet) string { return strings.Join([]string{s.time, s.nonce, s.method, s.target, s.body}, ".") }},
		"timestamp-and-body-only": {text: func(s sheet) string { return s.time + "." + s.body }},
	},
	relay.SchemeSignedQuery: {
		"sha1-not-allowed":        {algorithm: sha1.New},
		"expires-in-milliseconds": {text: func(s sheet) string { return linesOf(append([]string{s.key.id, s.time + "000"}, s.values...)...) }},
		"reading-base":            {text: func(s sheet) string { return linesOf(s.key.id, s.time) }},
		"creating-base": {target: "/api/links/jobs?idempotencyKey=order-7", values: []string{}, text: func(s sheet) string {
			return linesOf(s.key.id, s.time, "order-7", "", "", "")
		}},
		"line-breaks-missing": {text: func(s sheet) string { return strings.ReplaceAll(s.base("", "", ""), "\n", "") }},
		"line-breaks-as-text": {text: func(s sheet) string { return strings.ReplaceAll(s.base("", "", ""), "\n", `\n`) }},
		"line-breaks-crlf":    {text: func(s sheet) string { return strings.ReplaceAll(s.base("", "", ""), "\n", "\r\n") }},
		"values-encoded": {text: func(s sheet) string {
			return linesOf(s.key.id, s.time, "order-7", "https%3A%2F%2Fclick.example%2Fc%2F7", "a+b", "7")
		}},
		"values-in-query-order": {text: func(s sheet) string {
			return linesOf(s.key.id, s.time, "a b", "https://click.example/c/7", "7", "order-7")
		}},
		"values-missing": {target: "/api/links/fetch?idempotencyKey=order-7&source=a", values: []string{"order-7", "", "a", ""}, text: func(s sheet) string {
			return linesOf(s.key.id, s.time, "order-7", "a")
		}},
		"expires-first": {text: func(s sheet) string { return linesOf(append([]string{s.time, s.key.id}, s.values...)...) }},
	},
}

// perlHex is pack("H*", …), which takes every character for a hex digit.
func perlHex(text string) string {
	digit := func(c byte) byte {
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
			return (c + 9) & 15
		}
		return c & 15
	}
	var out []byte
	for len(text) > 1 {
		out, text = append(out, digit(text[0])<<4|digit(text[1])), text[2:]
	}
	if text != "" {
		out = append(out, digit(text[0])<<4)
	}
	return string(out)
}

// sheetFor is a request of the scheme that the slip goes wrong with.
func (c slip) sheetFor(scheme relay.Scheme, k key) sheet {
	s := sheet{scheme: scheme, key: k, nonce: uuid.NewString(), method: c.method, target: c.target, body: c.body, values: c.values}
	now := time.Now()
	switch scheme {
	case relay.SchemeIklim:
		s.time = strconv.FormatInt(freshTime().UnixMilli(), 10)
	case relay.SchemeSignedQuery:
		s.time = strconv.FormatInt(now.Add(time.Minute).Unix(), 10)
		s.method = http.MethodGet
		if s.target == "" {
			s.target, s.values = creating, jobLines
		}
		return s
	default:
		s.time = strconv.FormatInt(now.Unix(), 10)
	}
	if s.method == "" {
		s.method = http.MethodPost
		if s.target == "" {
			s.target = "/api/links/verify"
		}
		if s.body == "" {
			s.body = someBody
		}
	}
	return s
}

// sign makes the request with this slip.
func (c slip) sign(scheme relay.Scheme, k key) request {
	s := c.sheetFor(scheme, k)
	text, secret, algorithm := s.base(s.method, s.target, s.body), k.secret, sha256.New
	if c.text != nil {
		text = c.text(s)
	}
	if c.key != nil {
		secret = c.key(secret)
	}
	if c.swapped {
		text, secret = secret, text
	}
	if c.algorithm != nil {
		algorithm = c.algorithm
	}
	mac := hmac.New(algorithm, []byte(secret))
	fmt.Fprint(mac, text)
	switch {
	case c.sent != nil:
		return s.signed(c.sent(mac.Sum(nil)))
	case scheme == relay.SchemeLinkPeeler:
		return s.signed("v2=" + hex.EncodeToString(mac.Sum(nil)))
	default:
		return s.signed(hex.EncodeToString(mac.Sum(nil)))
	}
}

// diagnosed is the sentence about a mistake.
func diagnosed(t *testing.T, name string) relay.Error {
	t.Helper()
	for _, m := range signature.Mistakes {
		if m.Name == name {
			return relay.Error{Diagnosis: m.Sentence}
		}
	}
	t.Fatalf("no mistake is called %s", name)
	return relay.Error{}
}

// Whoever makes one of the known mistakes is told which, with every scheme it
// can be made with; whoever makes the same one without the secret is not.
func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "RELAY_TRUSTED_PROXIES=127.0.0.1")
	k := w.account("").link("desktop").key(anyScheme())
	sent := 0
	ask := func(c slip, scheme relay.Scheme, k key) (answer, request) {
		sent++ // from another address each time: failures are throttled
		r := c.sign(scheme, k).with("X-Forwarded-For", fmt.Sprintf("10.9.%d.%d", sent>>8, sent&255)).with("Host", "relay.example")
		return send(t, w.public(), r), r
	}
	for _, scheme := range allSchemes {
		if got, r := ask(slip{}, scheme, k); got.status != http.StatusOK && got.status != http.StatusAccepted {
			t.Errorf("%s without a mistake: %s: %d %s", scheme, r.target, got.status, got.body)
		}
	}
	for _, m := range signature.Mistakes {
		if m.Offline { // anybody can sign so: see TestStrangersLearnNothing
			continue
		}
		for _, scheme := range m.Schemes {
			c, made := schemeSlips[relay.Scheme(scheme)][m.Name]
			if !made {
				c, made = slips[m.Name]
			}
			if !made {
				t.Errorf("nobody makes the mistake %s with %s", m.Name, scheme)
				continue
			}
			got, r := ask(c, relay.Scheme(scheme), k)
			if e := refusedBy(t, relay.Scheme(scheme), got, r, relay.SignatureInvalid); e.Diagnosis != m.Sentence {
				t.Errorf("%s with %s is diagnosed %q, want %q", m.Name, scheme, e.Diagnosis, m.Sentence)
			}
			got, r = ask(c, relay.Scheme(scheme), key{k.id, signature.NewSecret()})
			learn(t, m.Name+" with another secret", r, got)
		}
	}
}
