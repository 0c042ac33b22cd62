package signature

import (
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
)

var linkPeelerHeaders = []headerForm{
	{HeaderKey, keyForm},
	{HeaderTimestamp, timestampForm},
	{HeaderNonce, nonceForm},
	{HeaderSignature, signatureForm},
}

// ParseLinkPeeler reads the four headers. The error is the first of: a header
// that is missing, one sent twice, one that is malformed, each in the order
// key, timestamp, nonce, signature. h must have canonical keys, as a server's
// request has. The result shares memory with h's values and allocates nothing.
func ParseLinkPeeler(h http.Header) (Proof, *HeaderError) {
	if err := presence(h, linkPeelerHeaders); err != nil {
		return Proof{}, err
	}
	p := Proof{Scheme: SchemeLinkPeeler, KeyID: h[HeaderKey][0], RawTimestamp: h[HeaderTimestamp][0], Nonce: h[HeaderNonce][0]}
	switch {
	case !within(p.KeyID, 1, maxKeyID, isVisible):
		return malformedHeader(HeaderKey, keyForm)
	case isMilliseconds(p.RawTimestamp):
		return malformedHeader(HeaderTimestamp, millisecondsForm)
	case !isSeconds(p.RawTimestamp):
		return malformedHeader(HeaderTimestamp, timestampForm)
	case !within(p.Nonce, minNonce, maxNonce, isNonce):
		return malformedHeader(HeaderNonce, nonceForm)
	}
	if reason := p.parseSignatures(h[HeaderSignature][0]); reason != "" {
		return malformedHeader(HeaderSignature, reason)
	}
	p.Timestamp = time.Unix(digits(p.RawTimestamp), 0).UTC()
	return p, nil
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
// but without empty elements). It returns what is wrong with them, or "".
func (p *Proof) parseSignatures(values string) (reason string) {
	for more := true; more; {
		var value string
		value, values, more = strings.Cut(values, ",")
		value, v2 := strings.CutPrefix(strings.Trim(value, " \t"), v2Prefix)
		p.V1 = !v2
		if p.count == maxSignatures || p.V1 && (more || p.count > 0) {
			return signatureForm
		}
		if !p.addMAC(value) {
			return macReason(signatureForm, value)
		}
	}
	return ""
}
