package signature

import (
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// The headers of scheme iklim (seed 004), in net/http's canonical form.
const (
	HeaderIklimKey         = "X-Api-Key"
	HeaderIklimSignature   = "X-Signature"
	HeaderIklimTimestamp   = "X-Timestamp"
	HeaderIklimNonce       = "X-Nonce"
	HeaderIklimIdempotency = "X-Idempotency-Key"
)

const uuidLen = 36

const (
	iklimSignatureForm = "must be 64 hex digits"
	iklimTimestampForm = "must be the time of signing as unix milliseconds, exactly 13 digits"
	iklimSecondsForm   = iklimTimestampForm + "; 10 digits look like seconds"
	uuidForm           = "must be a UUID of version 4 that was never sent before"
	pipeForm           = "cannot cover a path or query with a raw |: percent-encode it as %7C and sign that"
)

var iklimHeaders = []headerForm{
	{HeaderIklimKey, keyForm},
	{HeaderIklimSignature, iklimSignatureForm},
	{HeaderIklimTimestamp, iklimTimestampForm},
	{HeaderIklimNonce, uuidForm},
	{HeaderIklimIdempotency, uuidForm},
}

// ParseIklim reads the five headers of scheme iklim. The error is the first of:
// a header that is missing, one sent twice, one that is malformed, each in the
// order key, signature, timestamp, nonce, idempotency key; then a raw | in the
// target, which would let two requests have one base string. UUIDs are returned
// in lower case, for they are the same in either.
func ParseIklim(h http.Header, target string) (Proof, *HeaderError) {
	if err := presence(h, iklimHeaders); err != nil {
		return Proof{}, err
	}
	p := Proof{
		Scheme: SchemeIklim, KeyID: h[HeaderIklimKey][0], RawTimestamp: h[HeaderIklimTimestamp][0],
		Nonce: strings.ToLower(h[HeaderIklimNonce][0]), IdempotencyKey: strings.ToLower(h[HeaderIklimIdempotency][0]),
	}
	switch {
	case !within(p.KeyID, 1, maxKeyID, isVisible):
		return malformedHeader(HeaderIklimKey, keyForm)
	case !p.addMAC(h[HeaderIklimSignature][0]):
		return malformedHeader(HeaderIklimSignature, macReason(iklimSignatureForm, h[HeaderIklimSignature][0]))
	case isSeconds(p.RawTimestamp):
		return malformedHeader(HeaderIklimTimestamp, iklimSecondsForm)
	case !isMilliseconds(p.RawTimestamp):
		return malformedHeader(HeaderIklimTimestamp, iklimTimestampForm)
	case !isUUIDv4(p.Nonce):
		return malformedHeader(HeaderIklimNonce, uuidForm)
	case !isUUIDv4(p.IdempotencyKey):
		return malformedHeader(HeaderIklimIdempotency, uuidForm)
	case strings.Contains(target, "|"):
		return malformedHeader(HeaderIklimSignature, pipeForm)
	}
	p.Timestamp = time.UnixMilli(digits(p.RawTimestamp)).UTC()
	return p, nil
}

// Iklim returns the five headers of scheme iklim for any platform call. nonce
// and idempotencyKey are UUIDs of version 4, both never used before; the other
// parameters are as for V2. at has millisecond precision.
func (s Signer) Iklim(at time.Time, nonce, idempotencyKey, method, target string, body []byte) http.Header {
	timestamp := unixMillis(at)
	work := scratch{head: appendIklimHead(nil, method, target, timestamp)}
	work.authenticate(s.Secret, body)
	return http.Header{
		HeaderIklimKey:         {s.KeyID},
		HeaderIklimSignature:   {hex.EncodeToString(work.sum[:])},
		HeaderIklimTimestamp:   {timestamp},
		HeaderIklimNonce:       {nonce},
		HeaderIklimIdempotency: {idempotencyKey},
	}
}

func appendIklimHead(b []byte, method, target, timestamp string) []byte {
	b = append(append(b, method...), '|')
	b = append(append(b, target...), '|')
	return append(append(b, timestamp...), '|')
}

// isUUIDv4 reports whether a lower-case text is a UUID of version 4 (RFC 9562 §5.4).
func isUUIDv4(s string) bool {
	if len(s) != uuidLen || s[14] != '4' || !strings.Contains("89ab", s[19:20]) {
		return false
	}
	for i := range len(s) {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (s[i] == '-') || !dash && !isHexDigit(s[i]) {
			return false
		}
	}
	return true
}
