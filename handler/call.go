package handler

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"linkrelay/relay"
	"linkrelay/signature"
)

const (
	bodyTimeout   = 10 * time.Second // for a whole body to arrive
	replyTimeout  = 30 * time.Second // for a client to take a whole answer
	lingerTimeout = time.Second      // for a client to stop sending a body that was refused
)

// call is one request on its way through the chain: what is known about it so
// far. It belongs to one goroutine and is reused after the answer.
type call struct {
	g     *gin.Context
	raw   http.ResponseWriter // net/http's own: gin's hides the errors of Flush
	route *route

	at     time.Time        // the one reading of the clock: when the headers had arrived
	id     string           // of the request
	ip     netip.Addr       // of the client; the zero value when it cannot be told
	body   bodyRule         // the route's, unless the scheme has another
	scheme signature.Scheme // of a platform's call: as detected, then as verified
	proof  signature.Proof
	cred   *relay.Credential
	caller relay.Caller
	query  url.Values
	in     *scratch // nil without a body
	faults []relay.FieldError

	keyPrefix string     // for the log: never more than a prefix
	jobID     string     // for the log
	code      relay.Code // for the log: why it was refused, or how a stream ended
	cause     error      // for the log
}

var calls = sync.Pool{New: func() any { return new(call) }}

// begin starts a call: its request id, the client's address, and the headers
// that every answer has.
func (h *Handler) begin(g *gin.Context, r *route) *call {
	c := calls.Get().(*call)
	*c = call{g: g, route: r, body: r.body, at: h.Clock(), faults: c.faults[:0]}
	c.raw = g.Writer.(interface{ Unwrap() http.ResponseWriter }).Unwrap()
	c.id = requestID(g.Request.Header)
	c.ip = h.clientIP(g)
	header := g.Writer.Header()
	header["X-Request-Id"] = []string{c.id}
	header["Cache-Control"] = noStore
	header["X-Content-Type-Options"] = noSniff
	if g.Request.ContentLength != 0 {
		// Also bounds how long net/http may drain a body that is refused unread.
		c.readDeadline(c.at.Add(bodyTimeout))
	}
	return c
}

// end returns the call's memory.
func (c *call) end() {
	if c.in != nil {
		c.in.release()
	}
	*c = call{faults: c.faults[:0]}
	calls.Put(c)
}

// ctx ends when the client goes away.
func (c *call) ctx() context.Context { return c.g.Request.Context() }

func (c *call) readDeadline(t time.Time) {
	_ = http.NewResponseController(c.raw).SetReadDeadline(t) // not supported by test recorders
}

// fault records what is wrong with a field; see valid.
func (c *call) fault(pointer, reason string) {
	if reason != "" {
		c.faults = append(c.faults, relay.FieldError{Pointer: pointer, Reason: reason})
	}
}

// maxFaults bounds the answer to a request full of faults.
const maxFaults = 50

// valid returns the error for every fault found in query and body, or nil.
func (c *call) valid() error {
	if n := len(c.faults); n > maxFaults {
		c.faults = append(c.faults[:maxFaults], relay.FieldError{Pointer: "", Reason: "and more: only the first 50 faults are listed"})
	}
	return relay.Invalid(append([]relay.FieldError(nil), c.faults...))
}

// The values of constant headers, shared by all answers: net/http only reads them.
var (
	noStore     = []string{"no-store"}
	noSniff     = []string{"nosniff"}
	jsonType    = []string{"application/json"}
	problemType = []string{"application/problem+json"}
)

// reply answers with v as JSON.
func (c *call) reply(status int, v any) error {
	body, err := appendJSON(nil, v)
	if err != nil {
		return err
	}
	c.write(status, jsonType, body)
	return nil
}

// appendJSON appends v as JSON on one line. It does without json.Marshal's
// escapes for HTML: most of what is answered here are URLs, and whoever reads
// one with grep should not meet \u0026 for &. Control characters are escaped
// all the same.
func appendJSON(dst []byte, v any) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return dst, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

func (c *call) write(status int, contentType []string, body []byte) {
	c.g.Writer.Header()["Content-Type"] = contentType
	_ = http.NewResponseController(c.raw).SetWriteDeadline(time.Now().Add(replyTimeout)) // not supported by test recorders
	c.g.Writer.WriteHeader(status)
	_, _ = c.g.Writer.Write(body) // the client is gone; nobody is left to tell
}

// requestID takes over the caller's id when it is well formed, so that one id
// runs through the logs of everybody involved.
func requestID(h http.Header) string {
	if v := h["X-Request-Id"]; len(v) == 1 && wellFormedID(v[0]) {
		return v[0]
	}
	return uuid.Must(uuid.NewV7()).String()
}

func wellFormedID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		switch b := s[i]; {
		case '0' <= b && b <= '9', 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', b == '.', b == '_', b == '-':
		default:
			return false
		}
	}
	return true
}

// clientIP asks gin only when there are proxies to look through: the common
// case then costs no allocation.
func (h *Handler) clientIP(g *gin.Context) netip.Addr {
	if len(h.TrustedProxies) > 0 {
		ip, _ := netip.ParseAddr(g.ClientIP())
		return ip.Unmap()
	}
	return remoteIP(g.Request)
}

func remoteIP(r *http.Request) netip.Addr {
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	return peer.Addr().Unmap()
}
