package signature

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// The headers of scheme link-peeler (CONTRACT §2), in net/http's canonical form.
const (
	HeaderKey       = "X-Link-Peeler-Key"
	HeaderTimestamp = "X-Link-Peeler-Timestamp"
	HeaderNonce     = "X-Link-Peeler-Nonce"
	HeaderSignature = "X-Link-Peeler-Signature"
)

const (
	maxKeyID      = 64 // bytes; a key id has at most 32
	timestampLen  = 10 // digits
	minNonce      = 16 // bytes
	maxNonce      = 128
	maxSignatures = 4 // tried for one request
	v2Prefix      = "v2="
)

// What each header must look like: the Reason of every HeaderError. They are
// constants so that a received value, which may be a secret in the wrong
// place, cannot get into an answer or a log.
const (
	keyForm          = "must be the key id: at most 64 visible ASCII characters without spaces"
	timestampForm    = "must be the time of signing as unix seconds, exactly 10 digits"
	millisecondsForm = timestampForm + "; 13 digits look like milliseconds"
	nonceForm        = "must be 16 to 128 characters of A-Z a-z 0-9 _ - that were never sent before"
	signatureForm    = "must be v2= followed by 64 hex digits (at most 4 such values, separated by commas), or 64 hex digits alone for v1"
	base64Form       = signatureForm + "; this looks like base64"
)

var linkPeelerHeaders = []headerForm{
	{HeaderKey, keyForm},
	{HeaderTimestamp, timestampForm},
	{HeaderNonce, nonceForm},
	{HeaderSignature, signatureForm},
}

// LinkPeeler is what the four headers of one request say, well-formed but not
// yet verified.
type LinkPeeler struct {
	KeyID        string    // not checked by ParseKeyID: a mistyped one must look like an unknown one
	Timestamp    time.Time // UTC, whole seconds
	RawTimestamp string    // as sent; this is what was signed
	Nonce        string
	V1           bool // the signature covers neither method nor target: for POST /api/links/fetch only

	macs  [maxSignatures]digest
	count int // of macs presented
}

// Format implements fmt.Formatter for every verb, so that no log line can hold
// the presented signatures.
func (p LinkPeeler) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "link-peeler(%s)", p.KeyID) }

// ParseLinkPeeler reads the four headers. The error is the first of: a header
// that is missing, one sent twice, one that is malformed, each in the order
// key, timestamp, nonce, signature. h must have canonical keys, as a server's
// request has. The result shares memory with h's values and allocates nothing.
func ParseLinkPeeler(h http.Header) (LinkPeeler, *HeaderError) {
	if err := presence(h, linkPeelerHeaders); err != nil {
		return LinkPeeler{}, err
	}
	p := LinkPeeler{KeyID: h[HeaderKey][0], RawTimestamp: h[HeaderTimestamp][0], Nonce: h[HeaderNonce][0]}
	if !within(p.KeyID, 1, maxKeyID, isVisible) {
		return LinkPeeler{}, &HeaderError{Malformed, HeaderKey, keyForm}
	}
	if !within(p.RawTimestamp, timestampLen, timestampLen, isDigit) {
		return LinkPeeler{}, &HeaderError{Malformed, HeaderTimestamp, timestampReason(p.RawTimestamp)}
	}
	p.Timestamp = time.Unix(digits(p.RawTimestamp), 0).UTC()
	if !within(p.Nonce, minNonce, maxNonce, isNonce) {
		return LinkPeeler{}, &HeaderError{Malformed, HeaderNonce, nonceForm}
	}
	if values := h[HeaderSignature][0]; !p.parseSignatures(values) {
		return LinkPeeler{}, &HeaderError{Malformed, HeaderSignature, signatureReason(values)}
	}
	return p, nil
}

// Verify reports which of the secrets signed this request: its index, or -1
// when none did. method and target are those of the request line as received
// (http.Request.Method and RequestURI); v1 ignores them. body is every byte
// received.
//
// All comparisons take constant time, every presented MAC is tried with every
// secret, and when there are no secrets (unknown key id) the work of one is
// done. A true answer says nothing about freshness or replay.
func (p *LinkPeeler) Verify(secrets []string, method, target string, body []byte) int {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	if p.V1 {
		s.head = appendV1Head(s.head[:0], p.RawTimestamp, p.Nonce)
	} else {
		s.head = appendV2Head(s.head[:0], p.RawTimestamp, p.Nonce, method, target)
	}
	return s.match(secrets, p.macs[:p.count], body)
}

// appendV1Head appends the v1 base string up to the body.
func appendV1Head(b []byte, timestamp, nonce string) []byte {
	b = append(append(b, timestamp...), '.')
	return append(append(b, nonce...), '.')
}

// appendV2Head appends the v2 base string up to the body.
func appendV2Head(b []byte, timestamp, nonce, method, target string) []byte {
	b = appendV1Head(b, timestamp, nonce)
	b = append(append(b, method...), '.')
	return append(append(b, target...), '.')
}

// parseSignatures reads the signature header: one bare v1 value, or one to four
// v2 values with optional spaces or tabs around the commas (RFC 9110 §5.6.1,
// but without empty elements).
func (p *LinkPeeler) parseSignatures(values string) bool {
	for more := true; more; p.count++ {
		var value string
		value, values, more = strings.Cut(values, ",")
		value, v2 := strings.CutPrefix(strings.Trim(value, " \t"), v2Prefix)
		p.V1 = !v2
		if p.count == maxSignatures || p.V1 && (more || p.count > 0) {
			return false
		}
		if !decodeHex(&p.macs[p.count], value) {
			return false
		}
	}
	return true
}

func decodeHex(d *digest, text string) bool {
	if len(text) != hex.EncodedLen(len(d)) {
		return false
	}
	_, err := hex.Decode(d[:], []byte(text))
	return err == nil
}

// digits returns the value of a text of at most 18 digits.
func digits(text string) (n int64) {
	for i := range len(text) {
		n = n*10 + int64(text[i]-'0')
	}
	return n
}

func timestampReason(text string) string {
	if within(text, 13, 13, isDigit) {
		return millisecondsForm
	}
	return timestampForm
}

func signatureReason(text string) string {
	text = strings.TrimRight(strings.TrimPrefix(text, v2Prefix), "=")
	for _, encoding := range [...]*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if raw, err := encoding.DecodeString(text); err == nil && len(raw) == len(digest{}) {
			return base64Form
		}
	}
	return signatureForm
}
