package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"linkrelay/relay"
	"linkrelay/signature"
)

// httpClient sends what the tests send by themselves. It follows no redirects.
var httpClient = &http.Client{
	Transport:     watched{transport},
	Timeout:       40 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// request is one request as its bytes go out: sending it again sends it unchanged.
type request struct {
	method, target string
	header         http.Header
	body           string
}

// with returns the request with another value of a header, "" for none.
func (r request) with(name, value string) request {
	if r.header = r.header.Clone(); r.header == nil {
		r.header = http.Header{}
	}
	if value == "" {
		r.header.Del(name)
	} else {
		r.header.Set(name, value)
	}
	return r
}

// key is what requests are signed with, an API key's or a device's.
type key struct{ id, secret string }

func (k key) signer() signature.Signer { return signature.Signer{KeyID: k.id, Secret: k.secret} }

// fetch is POST /api/links/fetch, signed as third parties do: v1.
func (k key) fetch(body string) request { return k.fetchAt(time.Now(), signature.NewNonce(), body) }

func (k key) fetchAt(at time.Time, nonce, body string) request {
	return request{http.MethodPost, "/api/links/fetch", jsonHeader(k.signer().V1(at, nonce, []byte(body))), body}
}

// call is any request, signed with v2. An empty body is none.
func (k key) call(method, target, body string) request {
	header := k.signer().V2(time.Now(), signature.NewNonce(), method, target, []byte(body))
	if body != "" {
		header = jsonHeader(header)
	}
	return request{method, target, header, body}
}

func jsonHeader(h http.Header) http.Header {
	h.Set("Content-Type", "application/json")
	return h
}

// answer is a whole answer. A request that got none has status 0.
type answer struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration
}

// send sends a request and reads the answer. It may be called from any goroutine.
func send(t *testing.T, base string, r request) answer {
	t.Helper()
	return sendWith(t.Context(), t, base, r)
}

func sendWith(ctx context.Context, t *testing.T, base string, r request) answer {
	t.Helper()
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	q, err := http.NewRequestWithContext(ctx, r.method, base+r.target, body)
	if err != nil {
		t.Error(err)
		return answer{}
	}
	for name, values := range r.header {
		q.Header[name] = values
	}
	q.Host = r.header.Get("Host") // "": that of the address
	began := time.Now()
	resp, err := httpClient.Do(q)
	if err != nil {
		t.Error(err)
		return answer{}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("%s %s: %v", r.method, r.target, err)
	}
	return answer{resp.StatusCode, resp.Header, text, time.Since(began)}
}

// as reads the answer's JSON, strictly, and expects the status.
func as[T any](t *testing.T, a answer, status int) T {
	t.Helper()
	var v T
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return v
}

// refused expects the answer to be a problem with the code, complete and in
// form (CONTRACT §5).
func refused(t *testing.T, a answer, code relay.Code) relay.Error {
	t.Helper()
	got := as[relay.Error](t, a, relay.NewError(code, "").Status)
	inForm(t, a, got, code)
	return got
}

// inForm judges the members and headers that every problem has.
func inForm(t *testing.T, a answer, got relay.Error, code relay.Code) {
	t.Helper()
	want := relay.NewError(code, "")
	if got.Code != code || got.Status != want.Status || got.Type != want.Type || got.Title != want.Title || got.Retryable != want.Retryable {
		t.Errorf("problem %s, want code %s and the members the catalogue has", a.body, code)
	}
	if got.RequestID == "" || got.RequestID != a.header.Get("X-Request-Id") {
		t.Errorf("%s: requestId %q, X-Request-Id %q", code, got.RequestID, a.header.Get("X-Request-Id"))
	}
	for name, value := range map[string]string{"Content-Type": "application/problem+json", "Cache-Control": "no-store"} {
		if a.header.Get(name) != value {
			t.Errorf("%s: %s = %q, want %q", code, name, a.header.Get(name), value)
		}
	}
	again := a.header.Get("Retry-After")
	if later := want.Status == http.StatusTooManyRequests || want.Status == http.StatusServiceUnavailable; later != (again != "") || again == "0" {
		t.Errorf("%s: Retry-After = %q", code, again)
	}
}

// admin calls the admin API of the first replica.
func (w *world) admin(method, path, body string) answer {
	w.t.Helper()
	header := http.Header{"Authorization": {"Bearer " + adminToken}}
	if body != "" {
		header = jsonHeader(header)
	}
	return send(w.t, w.replicas[0].admin, request{method, "/api/admin/accounts" + path, header, body})
}
