package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"linkrelay/client"
	"linkrelay/relay"
	"linkrelay/signature"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	apiKey    = signature.NewKeyID(signature.KindTest)
	deviceKey = signature.NewKeyID(signature.KindDevice)
	secret    = signature.NewSecret()
)

// request is one signed request that reached a scripted relay.
type request struct {
	Method, Target string
	Header         http.Header
	Body           []byte
	Signed         signature.Proof
}

// member returns a string member of the JSON body.
func (r request) member(name string) string {
	var m map[string]any
	_ = json.Unmarshal(r.Body, &m)
	s, _ := m[name].(string)
	return s
}

// journal checks what every signed request must satisfy and keeps them all.
type journal struct {
	t      *testing.T
	mu     sync.Mutex
	nonces map[string]bool
	all    []request
}

// take reads and verifies a request: v2, right secret, a nonce never seen.
func (j *journal) take(r *http.Request) request {
	body, _ := io.ReadAll(r.Body)
	lp, fault := signature.ParseLinkPeeler(r.Header)
	j.mu.Lock()
	defer j.mu.Unlock()
	if fault != nil || lp.V1 || lp.Verify([]string{secret}, r.Method, r.RequestURI, body) != 0 {
		j.t.Errorf("%s %s is not signed as v2: %v", r.Method, r.RequestURI, fault)
	}
	if j.nonces == nil {
		j.nonces = map[string]bool{}
	}
	if j.nonces[lp.Nonce] {
		j.t.Errorf("%s %s repeats a nonce", r.Method, r.RequestURI)
	}
	j.nonces[lp.Nonce] = true
	q := request{r.Method, r.RequestURI, r.Header, body, lp}
	j.all = append(j.all, q)
	return q
}

func (j *journal) requests() []request {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]request(nil), j.all...)
}

// serve returns a relay over a real socket whose n-th answer (from 1) is the
// script's.
func serve(t *testing.T, script func(n int, w http.ResponseWriter, r request)) (*httptest.Server, *journal) {
	j := &journal{t: t}
	srv := httptest.NewServer(scripted(j, script))
	t.Cleanup(srv.Close)
	return srv, j
}

func scripted(j *journal, script func(n int, w http.ResponseWriter, r request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := j.take(r)
		script(len(j.requests()), w, q)
	}
}

func newPlatform(t *testing.T, url string, change ...func(*client.Options)) *client.Platform {
	o := client.Options{BaseURL: url, KeyID: apiKey, Secret: secret, Backoff: client.Backoff{Min: time.Millisecond, Max: 5 * time.Millisecond}}
	for _, c := range change {
		c(&o)
	}
	p, err := client.NewPlatform(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// refuse answers the catalogue's problem for the code.
func refuse(w http.ResponseWriter, code relay.Code, retryAfter ...int) {
	e := relay.NewError(code, "scripted")
	w.Header().Set("Content-Type", "application/problem+json")
	if len(retryAfter) > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter[0]))
	}
	if code == relay.TimestampOutOfWindow {
		e.ServerTime = time.Now().Unix()
	}
	w.WriteHeader(e.Status)
	_ = json.NewEncoder(w).Encode(e)
}

// cut ends the connection without an answer.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

// inMemory is a transport that hands requests straight to a handler, for
// tests that run in simulated time (testing/synctest), where sockets cannot.
// The handler's writes reach the client as they happen.
type inMemory struct{ http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	in := r.Clone(ctx)
	in.RequestURI = r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	body, out := io.Pipe()
	w := &memoryWriter{header: http.Header{}, started: make(chan int, 1), out: out}
	go func() {
		defer cancel()
		m.ServeHTTP(w, in)
		w.WriteHeader(http.StatusOK)
		_ = out.Close()
	}()
	context.AfterFunc(r.Context(), func() { out.CloseWithError(r.Context().Err()) })
	select {
	case status := <-w.started:
		return &http.Response{StatusCode: status, Header: w.header.Clone(), Body: hangUp{body, cancel}, Request: r}, nil
	case <-r.Context().Done():
		cancel()
		return nil, r.Context().Err()
	}
}

type hangUp struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (h hangUp) Close() error {
	h.cancel()
	return h.PipeReader.Close()
}

type memoryWriter struct {
	header  http.Header
	once    sync.Once
	started chan int
	out     *io.PipeWriter
}

func (w *memoryWriter) Header() http.Header    { return w.header }
func (w *memoryWriter) FlushError() error      { return nil }
func (w *memoryWriter) WriteHeader(status int) { w.once.Do(func() { w.started <- status }) }
func (w *memoryWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.out.Write(p)
}

func viaMemory(h http.Handler) func(*client.Options) {
	return func(o *client.Options) { o.HTTPClient = &http.Client{Transport: inMemory{h}} }
}

func sse(kind relay.FrameKind, v any) string {
	data, _ := json.Marshal(v)
	return fmt.Sprintf("event: %s\ndata: %s\n\n", kind, data)
}
