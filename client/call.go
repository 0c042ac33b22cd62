package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"linkrelay/relay"
	"linkrelay/signature"
)

// caller sends signed calls to one relay. It is safe for concurrent use.
type caller struct {
	base        *url.URL
	signer      signature.Signer // no KeyID: calls are not signed
	http        *http.Client
	log         *slog.Logger
	attempts    int
	backoff     Backoff
	waitOnLimit bool
	ahead       atomic.Int64 // nanoseconds the relay's clock is ahead of ours, as far as it told us
}

// call is one request to the relay.
type call struct {
	method string
	path   string // escaped
	query  url.Values
	in     any           // the JSON body; nil for none
	wait   time.Duration // how long the relay was asked to hold its answer
	once   bool          // sent again it would take effect twice
}

// do sends the call until it is answered for good, and reads the answer into
// out. It returns the *relay.Error of a refusal, an *AnswerError, or the last
// failure on the way.
func (c *caller) do(ctx context.Context, q call, out any) (answer, error) {
	body, err := q.body()
	if err != nil {
		return answer{}, err
	}
	synced := false
	for n := 1; ; n++ {
		a, err := c.try(ctx, q, body)
		a.tries = n
		if err == nil {
			return a, a.decode(out)
		}
		if !synced && c.sync(err) { // refused for the clock alone: nothing took effect
			synced = true
			n--
			continue
		}
		pause, ok := c.pause(q, err, n)
		if !ok || !outlasts(ctx, pause) {
			return a, err
		}
		c.log.Debug("call failed, trying again", "method", q.method, "path", q.path, "attempt", n, "pause", pause, "error", err)
		if sleep(ctx, pause) != nil {
			return a, fmt.Errorf("%w; last failure: %w", ctx.Err(), err)
		}
		if statusOf(err) == http.StatusTooManyRequests {
			n-- // waiting one's turn is not a failure; the context bounds it
		}
	}
}

// body encodes the call's JSON body once: each attempt signs the same bytes.
func (q call) body() ([]byte, error) {
	if q.in == nil {
		return nil, nil
	}
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false) // < is one byte of the relay's limits, \u003c six
	if err := e.Encode(q.in); err != nil {
		return nil, fmt.Errorf("client: encode body: %w", err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// pause returns how long to wait after the n-th attempt failed, ok false when
// the failure is final. A nonce_replayed can only mean that the network
// delivered an attempt twice: another nonce gets its outcome.
func (c *caller) pause(q call, err error, n int) (d time.Duration, ok bool) {
	if q.once {
		return 0, false
	}
	d = c.backoff.pause(n)
	e, _ := errors.AsType[*relay.Error](err)
	if e != nil {
		d = max(d, e.RetryAfter)
	}
	switch statusOf(err) {
	case http.StatusTooManyRequests:
		return d, c.waitOnLimit && e != nil && e.Code != relay.FailedAuthThrottled
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return d, n < c.attempts && d <= maxPause
	case 0:
		_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
		return d, n < c.attempts && !untrusted
	}
	return d, n < c.attempts && e != nil && e.Code == relay.NonceReplayed
}

// outlasts reports whether ctx lives longer than d.
func outlasts(ctx context.Context, d time.Duration) bool {
	end, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || time.Until(end) > d)
}

// try sends the call once, signed for now.
func (c *caller) try(ctx context.Context, q call, body []byte) (answer, error) {
	limit := q.wait + answerTimeout
	attempt, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	resp, err := c.send(attempt, q, body, nil)
	if err == nil {
		defer resp.Body.Close()
		var a answer
		if a, err = readAnswer(resp); err == nil || a.status != 0 {
			return a, err
		}
	}
	if attempt.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("client: no answer within %v", limit) // not the caller's own deadline
	}
	return answer{}, err
}

// send builds, signs and sends one request.
func (c *caller) send(ctx context.Context, q call, body []byte, header http.Header) (*http.Response, error) {
	target := c.base.String() + q.path
	if len(q.query) > 0 {
		target += "?" + q.query.Encode()
	}
	var payload io.Reader // a nil body, not an empty one, keeps GET and DELETE free of Content-Length
	if body != nil {
		payload = bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, q.method, target, payload)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.Header.Set("User-Agent", "linkrelay-go/1")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.signer.KeyID != "" {
		for name, values := range c.signer.V2(c.now(), signature.NewNonce(), q.method, r.URL.RequestURI(), body) {
			r.Header[name] = values
		}
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return resp, nil
}

// now is the relay's time, as far as known.
func (c *caller) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// sync sets the clock difference from a timestamp_out_of_window refusal and
// reports whether err was one.
func (c *caller) sync(err error) bool {
	e, ok := errors.AsType[*relay.Error](err)
	if !ok || e.Code != relay.TimestampOutOfWindow || e.ServerTime <= 0 {
		return false
	}
	ahead := time.Until(time.Unix(e.ServerTime, 0))
	c.ahead.Store(int64(ahead))
	c.log.Warn("this machine's clock differs from the relay's; signing with the relay's", "difference", ahead.Round(time.Second))
	return true
}

// Close closes the connections that are idle now. Calls and streams under way
// are not touched, and the client can be used again.
func (c *caller) Close() { c.http.CloseIdleConnections() }
