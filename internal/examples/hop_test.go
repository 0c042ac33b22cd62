package examples_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// mischief is what a hop does besides passing on. Zero members do nothing.
type mischief struct {
	change   func(r *http.Request, body []byte) []byte // to requests
	answered func(status int)                          // hears of answers
	stream   func(io.ReadCloser) io.ReadCloser         // changes their bodies
	lose     int                                       // so many answers, after the relay gave them
}

// hop stands between an example and the relay, as proxies do, and remembers
// what went through.
type hop struct {
	*httptest.Server
	mischief
	to       atomic.Pointer[url.URL]
	mu       sync.Mutex // guards lose and
	requests []seen
	statuses []int
}

// seen is what makes a request the identical one.
type seen struct{ method, target, signing, body string }

func newHop(t *testing.T, to string, m mischief) *hop {
	t.Helper()
	h := &hop{mischief: m}
	h.lead(t, to)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(h.to.Load()) },
		ModifyResponse: func(r *http.Response) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.statuses = append(h.statuses, r.StatusCode)
			if h.answered != nil {
				h.answered(r.StatusCode)
			}
			if h.lose > 0 {
				h.lose--
				panic(http.ErrAbortHandler) // closes the connection
			}
			if h.stream != nil {
				r.Body = h.stream(r.Body)
			}
			return nil
		},
	}
	h.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.note(r, body)
		if h.change != nil {
			body = h.change(r, body)
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(h.Close)
	return h
}

// lead sends what comes from now on to a relay.
func (h *hop) lead(t *testing.T, to string) {
	t.Helper()
	relay, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	h.to.Store(relay)
}

func (h *hop) note(r *http.Request, body []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := seen{method: r.Method, target: r.RequestURI, body: string(body)}
	for _, name := range []string{
		"X-Link-Peeler-Key", "X-Link-Peeler-Timestamp", "X-Link-Peeler-Nonce", "X-Link-Peeler-Signature",
		"X-Api-Key", "X-Timestamp", "X-Nonce", "X-Idempotency-Key", "X-Signature",
	} {
		s.signing += name + "=" + r.Header.Get(name) + "\n"
	}
	h.requests = append(h.requests, s)
}

// passed returns what went through so far.
func (h *hop) passed() ([]seen, []int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]seen{}, h.requests...), append([]int{}, h.statuses...)
}
