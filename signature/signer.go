package signature

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"time"
)

// Signer signs requests under every scheme. Its methods are safe for concurrent
// use.
type Signer struct {
	KeyID  string
	Secret string `json:"-"` // as it was shown; the HMAC key is this text's bytes
}

// Format implements fmt.Formatter for every verb, so that no log line can hold
// the secret.
func (s Signer) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "signer(%s)", s.KeyID) }

// V1 returns the four headers for POST /api/links/fetch, the only call that
// accepts v1. nonce is 16 to 128 of [A-Za-z0-9_-], never used before (see
// NewNonce); body is every byte that will be sent. Seconds are the unit of at.
func (s Signer) V1(at time.Time, nonce string, body []byte) http.Header {
	timestamp := unixSeconds(at)
	return s.headers(timestamp, nonce, "", appendV1Head(nil, timestamp, nonce), body)
}

// V2 returns the four headers for any call. method and target are those of the
// request line: target is path and query exactly as sent, percent-escapes
// included. The other parameters are as for V1; body may be empty.
func (s Signer) V2(at time.Time, nonce, method, target string, body []byte) http.Header {
	timestamp := unixSeconds(at)
	return s.headers(timestamp, nonce, v2Prefix, appendV2Head(nil, timestamp, nonce, method, target), body)
}

// Sign sets the four headers on an outgoing request, with v2, a fresh nonce and
// the present time, and leaves all others alone. body must be what r.Body will
// yield; nil for none. To send a request again after a 429 or 503, keep its
// headers: a refused request does not use up its nonce.
func (s Signer) Sign(r *http.Request, body []byte) {
	method := r.Method
	if method == "" {
		method = http.MethodGet // what net/http sends for it
	}
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	for name, values := range s.V2(time.Now(), NewNonce(), method, r.URL.RequestURI(), body) {
		r.Header[name] = values
	}
}

func (s Signer) headers(timestamp, nonce, prefix string, head, body []byte) http.Header {
	work := scratch{head: head}
	work.authenticate(s.Secret, body)
	return http.Header{
		HeaderKey:       {s.KeyID},
		HeaderTimestamp: {timestamp},
		HeaderNonce:     {nonce},
		HeaderSignature: {prefix + hex.EncodeToString(work.sum[:])},
	}
}
