package handler

import (
	"cmp"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"linkrelay/relay"
	"linkrelay/signature"
)

// internalText is all that anybody outside learns about an unforeseen error.
const internalText = "the request could not be completed; the log has the reason under this requestId"

// problem answers with an RFC 9457 problem document. e may be shared, so it is
// copied before the request's own members are set.
func (c *call) problem(shared *relay.Error) {
	e := *shared
	e.RequestID = c.id
	header := c.g.Writer.Header()
	if after := retryAfter(&e); after > 0 {
		header.Set("Retry-After", strconv.FormatInt(after, 10))
	}
	switch e.Code {
	case relay.Unauthorized:
		header.Set("WWW-Authenticate", `Bearer realm="linkrelay"`) // RFC 6750 §3
	case relay.BodyTooLarge:
		// net/http reads on for a while after the answer, so that a client in the
		// middle of sending gets to see it; then the connection is closed.
		header.Set("Connection", "close")
		c.readDeadline(time.Now().Add(lingerTimeout))
	}
	body, err := appendJSON(nil, c.members(&e))
	if err != nil { // every member is plain text or a number
		body = []byte(`{"code":"internal_error","status":500}`)
		e.Status = http.StatusInternalServerError
	}
	c.write(e.Status, problemType, body)
}

// iklimProblem is a problem with the members that scheme iklim's callers read
// (seed 004).
type iklimProblem struct {
	*relay.Error
	Timestamp string `json:"timestamp"`
	Reason    string `json:"error"`
	Message   string `json:"message"`
	Path      string `json:"path"`
}

// members is what a problem says to callers of this call's scheme.
func (c *call) members(e *relay.Error) any {
	if c.scheme != signature.SchemeIklim {
		return e
	}
	return iklimProblem{e, c.at.UTC().Format("2006-01-02T15:04:05.000Z"), http.StatusText(e.Status), cmp.Or(e.Detail, e.Title), c.g.Request.URL.Path}
}

// retryAfter returns the seconds of Retry-After, 0 for none. Where the error
// does not say, a 503 gets 1 to 5 s at random so that callers do not come back
// all at once.
func retryAfter(e *relay.Error) int64 {
	switch {
	case e.RetryAfter > 0:
		return seconds(e.RetryAfter)
	case e.Status == http.StatusServiceUnavailable:
		return 1 + rand.Int64N(5)
	case e.Status == http.StatusTooManyRequests:
		return 1
	}
	return 0
}

// seconds rounds up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// setRateLimit writes RateLimit-Policy and RateLimit
// (draft-ietf-httpapi-ratelimit-headers): per window its quota q over w
// seconds, and the remaining r until it is full again in t seconds.
func setRateLimit(h http.Header, windows []relay.Window) {
	if len(windows) == 0 {
		return
	}
	policy, state := make([]byte, 0, 96), make([]byte, 0, 96)
	for i := range windows {
		w := &windows[i]
		policy = appendItem(policy, w.Name, 'q', w.Limit, 'w', seconds(w.Length))
		state = appendItem(state, w.Name, 'r', w.Remaining, 't', seconds(w.Reset))
	}
	h["Ratelimit-Policy"] = []string{string(policy)}
	h["Ratelimit"] = []string{string(state)}
}

func appendItem(b []byte, name string, key1 byte, value1 int64, key2 byte, value2 int64) []byte {
	if len(b) > 0 {
		b = append(b, ", "...)
	}
	b = append(append(append(b, '"'), name...), '"', ';', key1, '=')
	b = append(strconv.AppendInt(b, max(value1, 0), 10), ';', key2, '=')
	return strconv.AppendInt(b, max(value2, 0), 10)
}
