package handler_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"linkrelay/handler"
	"linkrelay/relay"
)

// raw renders a signed request as it goes over the wire.
func raw(r *http.Request) string {
	var b strings.Builder
	_ = r.Write(&b)
	return b.String()
}

func TestHeadersTooLargeOverTheWire(t *testing.T) {
	address := listen(t, newHandler(t, newStore(), handler.Options{}, nil).Public())
	request := "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Big: " + strings.Repeat("x", relay.MaxHeaderBytes) + "\r\n\r\n"
	answer := overWire(t, address, request)
	if !strings.HasPrefix(answer, "HTTP/1.1 431 ") || !strings.Contains(answer, `"code":"headers_too_large"`) {
		t.Errorf("answer %q", answer)
	}
}

// A body that is too large by its Content-Length is refused before it is sent;
// one without a length as soon as it is; and the connection is closed.
func TestBodyTooLargeOverTheWire(t *testing.T) {
	store := newStore()
	address := listen(t, newHandler(t, store, handler.Options{}, nil).Public())
	for name, request := range map[string]string{
		"declared": strings.Replace(raw(fetch(goodBody)), fmt.Sprintf("Content-Length: %d", len(goodBody)), "Content-Length: 16385", 1),
		"chunked": strings.Replace(strings.TrimSuffix(raw(fetch(goodBody)), goodBody), fmt.Sprintf("Content-Length: %d", len(goodBody)), "Transfer-Encoding: chunked", 1) +
			"8000\r\n" + strings.Repeat("x", 0x8000) + "\r\n0\r\n\r\n",
	} {
		answer := overWire(t, address, request)
		if !strings.HasPrefix(answer, "HTTP/1.1 413 ") || !strings.Contains(answer, `"limit":16384`) || !strings.Contains(answer, "Connection: close") {
			t.Errorf("%s: %q", name, answer)
		}
	}
	if store.lookups.Load() != 0 {
		t.Error("a key was looked up for a body that is too large")
	}
}

// A chunked body is as good as one with a length, and the connection serves
// the next request.
func TestChunkedBodyAndKeepAlive(t *testing.T) {
	address := listen(t, newHandler(t, newStore(), handler.Options{}, nil).Public())
	chunked := strings.Replace(strings.TrimSuffix(raw(fetch(goodBody)), goodBody), fmt.Sprintf("Content-Length: %d", len(goodBody)), "Transfer-Encoding: chunked", 1) +
		fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(goodBody), goodBody)
	answer := overWire(t, address, chunked+raw(fetch(goodBody))+"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if n := strings.Count(answer, "HTTP/1.1 202 "); n != 2 || !strings.Contains(answer, "HTTP/1.1 200 ") {
		t.Errorf("answer %q", answer)
	}
}

// A client that leaves while its answer is being held costs nothing and is not
// taken for a fault.
func TestLongPollEndsWithTheClient(t *testing.T) {
	store := newStore()
	started, ended := make(chan struct{}), make(chan struct{})
	block := make(chan struct{})
	store.job = func(relay.Caller, string, time.Duration) (relay.Job, error) {
		close(started)
		<-block
		close(ended)
		return relay.Job{}, errors.New("unused")
	}
	address := listen(t, newHandler(t, store, handler.Options{}, nil).Public())
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = signed(platform, "GET", "/api/links/jobs/"+jobID+"?wait=25", "").Write(c)
	<-started
	c.Close()
	close(block)
	<-ended
}

func TestTrustedProxies(t *testing.T) {
	for _, tt := range []struct {
		name    string
		trusted []string
		allowed string
		want    int
	}{
		{"nobody is trusted", nil, "203.0.113.5/32", 403},
		{"the peer is what counts then", nil, "192.0.2.0/24", 202},
		{"a trusted proxy is looked through", []string{"192.0.2.0/24"}, "203.0.113.5/32", 202},
		{"but not past the first one that is not trusted", []string{"192.0.2.0/24"}, "198.51.100.9/32", 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := newStore()
			store.credentials[platform.KeyID].CIDRs = []netip.Prefix{netip.MustParsePrefix(tt.allowed)}
			r := fetch(goodBody)
			r.Header.Set("X-Forwarded-For", "198.51.100.9, 203.0.113.5")
			if w := do(newHandler(t, store, handler.Options{TrustedProxies: tt.trusted}, nil).Public(), r); w.Code != tt.want {
				t.Errorf("status %d, want %d", w.Code, tt.want)
			}
		})
	}
	if _, err := handler.New(handler.Options{TrustedProxies: []string{"nonsense"}}, newStore(), newLogger()); err == nil {
		t.Error("a proxy that is no address was accepted")
	}
}

func TestProbes(t *testing.T) {
	store := newStore()
	var down error
	store.ping = func() error { return down }
	type health struct {
		Status string
		Checks map[string]string
	}
	ready := func(h *handler.Handler, status int) health {
		return decode[health](t, do(h.Admin(), httptest.NewRequest(http.MethodGet, "/readyz", nil)), status)
	}
	h := newHandler(t, store, handler.Options{}, nil)
	if got := ready(h, 200); got.Status != "ok" {
		t.Errorf("%+v", got)
	}
	h.Drain()
	if got := ready(h, 503); got.Checks["serving"] != "draining" || got.Checks["store"] != "ok" {
		t.Errorf("%+v", got)
	}
	down = errors.New("dial tcp 10.0.0.9: refused")
	h = newHandler(t, store, handler.Options{}, nil)
	if got := ready(h, 503); got.Checks["store"] != "unavailable" || got.Checks["serving"] != "ok" {
		t.Errorf("%+v", got)
	}
	if w := do(h.Public(), httptest.NewRequest(http.MethodGet, "/livez", nil)); w.Code != http.StatusOK {
		t.Errorf("livez %d while the store is down", w.Code)
	}
}

// pprof is open to this machine only: not through a proxy on it, and not under
// a name that somebody else's page gave it.
func TestProfilesAreLocal(t *testing.T) {
	address := listen(t, newHandler(t, newStore(), handler.Options{}, nil).Admin())
	for header, want := range map[string]string{
		"Host: 127.0.0.1:9090": "200",
		"Host: localhost":      "200",
		"Host: evil.example":   "401",
		"Host: 127.0.0.1\r\nX-Forwarded-For: 203.0.113.5":                "401",
		"Host: evil.example\r\nAuthorization: " + "Bearer " + adminToken: "200",
	} {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET /debug/pprof/goroutine?debug=1 HTTP/1.1\r\n%s\r\nConnection: close\r\n\r\n", header)
		line, err := bufio.NewReader(c).ReadString('\n')
		if c.Close(); err != nil || !strings.Contains(line, want) {
			t.Errorf("%s: %q, want %s", strings.ReplaceAll(header, adminToken, "…"), line, want)
		}
	}
}

// A body is given memory as it arrives, not as it is announced: who announces
// one has not proved anything yet.
func TestAnnouncedBodyTakesNoMemory(t *testing.T) {
	h := newHandler(t, newStore(), handler.Options{}, nil)
	r := signed(device, "POST", "/api/desktop/jobs/"+jobID+"/complete", "{}")
	r.ContentLength = relay.MaxActionBody
	body := &firstRead{}
	r.Body = body
	wantProblem(t, do(h.Public(), r), relay.BodyMalformed)
	if body.room == 0 || body.room > 32<<10 { // what an earlier request may have left, at most
		t.Errorf("room for %d bytes before any of them came", body.room)
	}
}

// firstRead is a body that never comes. It notes how much could have.
type firstRead struct{ room int }

func (f *firstRead) Read(p []byte) (int, error) {
	f.room = len(p)
	return 0, io.ErrUnexpectedEOF
}

func (f *firstRead) Close() error { return nil }
