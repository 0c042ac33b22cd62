package signature

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"
)

// Scheme names a way to sign (CONTRACT §2).
type Scheme string

// The signing schemes.
const (
	SchemeLinkPeeler  Scheme = "link-peeler"
	SchemeIklim       Scheme = "iklim"
	SchemeSignedQuery Scheme = "signed-query"
)

// Proof is what one request says for itself, well-formed but not yet verified.
type Proof struct {
	Scheme         Scheme
	KeyID          string    // not checked by ParseKeyID: a mistyped one must look like an unknown one
	Timestamp      time.Time // UTC: of signing; under signed-query, the end of validity
	RawTimestamp   string    // as sent; this is what was signed
	Nonce          string    // "" under signed-query, which has none
	IdempotencyKey string    // under iklim only; not covered by its signature
	V1             bool      // link-peeler: neither method nor target is covered: for POST /api/links/fetch only
	SHA1           bool      // signed-query: an HMAC-SHA1 was sent: only for keys created to allow it

	// Creates is set by the caller, who knows the call, before Verify: under
	// signed-query, a signature that creates a job covers the job's values.
	Creates bool

	// Host is set by the caller before Diagnose, as the request was addressed:
	// some scripts sign the whole URL.
	Host string

	macs   [maxSignatures]digest
	count  int   // of macs presented
	base64 uint8 // bit i: macs[i] came in base64 where hex is required, and can only be diagnosed
}

// Format implements fmt.Formatter for every verb, so that no log line can hold
// the presented signatures.
func (p Proof) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "%s(%s)", p.Scheme, p.KeyID) }

// Detect returns the scheme that a request means: the one whose headers or
// parameters it carries, and link-peeler when it carries none. target is path
// and query as received; h must have canonical keys, as a server's request has.
func Detect(h http.Header, target string) Scheme {
	for _, f := range linkPeelerHeaders {
		if len(h[f.name]) > 0 {
			return SchemeLinkPeeler
		}
	}
	switch {
	case len(h[HeaderIklimSignature]) > 0:
		return SchemeIklim
	case carriesSignedQuery(target): // before X-Api-Key, which gateways add to everything
		return SchemeSignedQuery
	case len(h[HeaderIklimKey]) > 0:
		return SchemeIklim
	}
	return SchemeLinkPeeler
}

// Parse reads the proof of a request under the scheme that Detect returns.
func Parse(h http.Header, target string) (Proof, *HeaderError) {
	switch Detect(h, target) {
	case SchemeIklim:
		return ParseIklim(h, target)
	case SchemeSignedQuery:
		return ParseSignedQuery(target)
	default:
		return ParseLinkPeeler(h)
	}
}

// MaxSecrets is how many secrets one key may have at a time: the present one
// and those that rotation keeps valid for a while. A request that does not
// verify costs the work of this many, whatever the key has.
const MaxSecrets = 3

// Verify reports which of the secrets signed this request: its index, or -1
// when none did. method and target are those of the request line as received
// (http.Request.Method and RequestURI). body is every byte received. Secrets
// beyond MaxSecrets are not tried.
//
// All comparisons take constant time, every presented MAC is tried with every
// secret, and a request that does not verify costs MaxSecrets HMACs: also that
// of an unknown key, which has no secrets. A true answer says nothing about
// freshness or replay, nor whether the key allows HMAC-SHA1 (see SHA1).
func (p *Proof) Verify(secrets []string, method, target string, body []byte) int {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.head = p.appendHead(s.head[:0], method, target)
	return s.match(p, secrets, p.covered(body))
}

// Base returns the bytes that go into the HMAC.
func (p *Proof) Base(method, target string, body []byte) []byte {
	return append(p.appendHead(nil, method, target), p.covered(body)...)
}

// Once identifies what was signed, for schemes whose signatures are single-use
// (iklim): equal texts exactly for equal signatures of one key. "" under the
// other schemes. It is derived from the signed bytes, not from the signature.
func (p *Proof) Once(method, target string, body []byte) string {
	if p.Scheme != SchemeIklim {
		return ""
	}
	sum := sha256.New()
	sum.Write(p.appendHead(nil, method, target))
	sum.Write(body)
	return hex.EncodeToString(sum.Sum(nil))
}

// appendHead appends the base string up to the body.
func (p *Proof) appendHead(b []byte, method, target string) []byte {
	switch {
	case p.Scheme == SchemeIklim:
		return appendIklimHead(b, method, target, p.RawTimestamp)
	case p.Scheme == SchemeSignedQuery && p.Creates:
		return appendCreateBase(b, p.KeyID, p.RawTimestamp, queryJob(target))
	case p.Scheme == SchemeSignedQuery:
		return appendReadBase(b, p.KeyID, p.RawTimestamp)
	case p.V1:
		return appendV1Head(b, p.RawTimestamp, p.Nonce)
	default:
		return appendV2Head(b, p.RawTimestamp, p.Nonce, method, target)
	}
}

// covered returns the part of the base string behind the head.
func (p *Proof) covered(body []byte) []byte {
	if p.Scheme == SchemeSignedQuery {
		return nil
	}
	return body
}
