package client_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"linkrelay/client"
	"linkrelay/relay"
)

// desk is the desktop side of a relay, played by the test: it hands each
// stream to the test as it connects, and records every action.
type desk struct {
	*journal
	hello   relay.Hello
	streams chan *stream
	acts    chan act

	mu     sync.Mutex
	onOpen func(w http.ResponseWriter) bool // true: it answered the connection itself
	onAct  func(a act, w http.ResponseWriter) bool
}

// stream is one connection. Closing frames ends it.
type stream struct {
	frames chan string
	gone   <-chan struct{} // closed when the client has left
	at     time.Time
}

func (s *stream) send(kind relay.FrameKind, v any) { s.frames <- sse(kind, v) }

type act struct {
	Verb, Job string
	Body      map[string]any
	at        time.Time
}

func newDesk(t *testing.T) *desk {
	return &desk{
		journal: &journal{t: t},
		hello:   relay.Hello{SessionID: "s", PingSeconds: 15, LeaseSeconds: 60, OfferSeconds: 10},
		streams: make(chan *stream, 1000),
		acts:    make(chan act, 1000),
	}
}

// on sets what the relay answers to actions from now on; a func that returns
// false leaves it to the default, a running job.
func (d *desk) on(f func(act, http.ResponseWriter) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onAct = f
}

func (d *desk) opening(f func(http.ResponseWriter) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onOpen = f
}

func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := d.take(r)
	if strings.HasPrefix(r.URL.Path, "/api/desktop/jobs/stream") {
		d.stream(w, r)
		return
	}
	parts := strings.Split(r.URL.Path, "/")
	a := act{Verb: parts[len(parts)-1], Job: parts[len(parts)-2], at: time.Now()}
	_ = json.Unmarshal(q.Body, &a.Body)
	d.mu.Lock()
	on := d.onAct
	d.mu.Unlock()
	if on == nil || !on(a, w) {
		answer(w, http.StatusOK, relay.Job{ID: a.Job, State: relay.Running})
	}
	d.acts <- a
}

func (d *desk) stream(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	open := d.onOpen
	d.mu.Unlock()
	s := &stream{make(chan string), r.Context().Done(), time.Now()}
	if open != nil && open(w) {
		d.streams <- s
		return
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	flush := http.NewResponseController(w)
	_, _ = w.Write([]byte(sse(relay.FrameHello, d.hello)))
	_ = flush.Flush()
	d.streams <- s
	for {
		select {
		case text, more := <-s.frames:
			if !more {
				return
			}
			_, _ = w.Write([]byte(text))
			_ = flush.Flush()
		case <-s.gone:
			return
		}
	}
}

// expect returns the next action, which must be of that kind; heartbeats are
// skipped unless asked for.
func (d *desk) expect(verb, job string) act {
	d.t.Helper()
	for {
		a := receive(d.t, d.acts)
		if a.Verb == verb && a.Job == job {
			return a
		}
		if a.Verb != "extend" {
			d.t.Fatalf("action %s of %s, want %s of %s", a.Verb, a.Job, verb, job)
		}
	}
}

// receive fails the test rather than hang.
func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("nothing came: %T", c)
		panic("unreachable")
	}
}

func overSocket(t *testing.T, d *desk) func(*client.Options) {
	srv := httptest.NewServer(d)
	t.Cleanup(srv.Close)
	return func(o *client.Options) { o.BaseURL = srv.URL }
}

func newDesktop(t *testing.T, change ...func(*client.Options)) *client.Desktop {
	o := client.Options{
		BaseURL: "http://relay.test", KeyID: deviceKey, Secret: secret, Grace: -1,
		Backoff:   client.Backoff{Min: time.Millisecond, Max: 5 * time.Millisecond},
		Reconnect: client.Backoff{Min: time.Millisecond, Max: 5 * time.Millisecond},
	}
	for _, c := range change {
		c(&o)
	}
	d, err := client.NewDesktop(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// running is a Run in the background.
type running struct {
	stop context.CancelFunc
	done chan error
}

func run(t *testing.T, d *client.Desktop, handle client.Handler) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{cancel, make(chan error, 1)}
	finished := make(chan struct{})
	go func() {
		r.done <- d.Run(ctx, handle)
		close(finished)
	}()
	t.Cleanup(func() { cancel(); <-finished })
	return r
}

func job(id string) relay.Delivery {
	return relay.Delivery{
		JobID: id, Lease: "lease-" + id, Delivery: 1, Attempt: 1, TrackingURL: "https://t.example/" + id,
		Source: "mail", RowID: "42", ExpiresAt: time.Now().Add(time.Hour).UTC().Truncate(time.Second),
	}
}
