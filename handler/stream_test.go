package handler_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"linkrelay/handler"
	"linkrelay/relay"
)

// fakeSession hands out what a test puts into it.
type fakeSession struct {
	wake    chan struct{}
	signals chan relay.Signal
	claims  chan claimed  // one per claim; a claim waits for it
	started chan struct{} // one per claim that began
	closed  chan struct{}

	mu    sync.Mutex
	given []string // ids of jobs that were given back
	back  chan struct{}
}

type claimed struct {
	offers []relay.Delivery
	err    error
}

func newSession() *fakeSession {
	return &fakeSession{wake: make(chan struct{}, 1), signals: make(chan relay.Signal, 4), claims: make(chan claimed, 8), started: make(chan struct{}, 64),
		closed: make(chan struct{}), back: make(chan struct{}, 8)}
}

func (s *fakeSession) Wake() <-chan struct{}        { return s.wake }
func (s *fakeSession) Signals() <-chan relay.Signal { return s.signals }
func (s *fakeSession) Close()                       { close(s.closed) }

func (s *fakeSession) Claim(ctx context.Context) ([]relay.Delivery, error) {
	s.started <- struct{}{}
	select {
	case c := <-s.claims:
		return c.offers, c.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *fakeSession) GiveBack(_ context.Context, offers []relay.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range offers {
		s.given = append(s.given, o.JobID)
	}
	s.back <- struct{}{}
}

func (s *fakeSession) givenBack() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.given...)
}

// offer lets the next claim answer, after waking the stream.
func (s *fakeSession) offer(ids ...string) {
	var offers []relay.Delivery
	for _, id := range ids {
		offers = append(offers, relay.Delivery{JobID: id, Lease: "lease-" + id})
	}
	s.claims <- claimed{offers: offers}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// desk is a desktop's end of a stream.
type desk struct {
	t       *testing.T
	handler *handler.Handler
	session *fakeSession
	header  http.Header
	conn    net.Conn
	lines   *bufio.Reader
}

// connect opens a stream over a real socket. The session's first claim, made
// after hello, finds nothing unless a test already put something in.
func connect(t *testing.T, session *fakeSession, o handler.Options) *desk {
	t.Helper()
	return connectLogged(t, session, o, nil)
}

func connectLogged(t *testing.T, session *fakeSession, o handler.Options, log *zap.Logger) *desk {
	t.Helper()
	store := newStore()
	store.connect = func(int) (relay.Session, error) { return session, nil }
	if len(session.claims) == 0 {
		session.claims <- claimed{}
	}
	h := newHandler(t, store, o, log)
	conn, err := net.Dial("tcp", listen(t, h.Public()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		<-session.closed // every stream must end and close its session
	})
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if err := signed(device, "GET", "/api/desktop/jobs/stream", "").Write(conn); err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, handler: h, session: session, conn: conn, lines: bufio.NewReader(conn)}
	resp, err := http.ReadResponse(d.lines, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.header, d.lines = resp.Header, bufio.NewReader(resp.Body)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
	return d
}

// next reads one frame, which must be of that kind, into data.
func (d *desk) next(kind relay.FrameKind, data any) {
	d.t.Helper()
	event, err1 := d.lines.ReadString('\n')
	text, err2 := d.lines.ReadString('\n')
	blank, err3 := d.lines.ReadString('\n')
	if err := errors.Join(err1, err2, err3); err != nil {
		d.t.Fatalf("reading a %s frame: %v after %q%q%q", kind, err, event, text, blank)
	}
	if event != "event: "+string(kind)+"\n" || blank != "\n" {
		d.t.Fatalf("frame %q%q%q, want %s", event, text, blank, kind)
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(text, "data: ")), data); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) wantEnd() {
	d.t.Helper()
	if rest, err := io.ReadAll(d.lines); err != nil || len(rest) > 0 {
		d.t.Errorf("after the last frame: %q, %v", rest, err)
	}
}

func (d *desk) job() string {
	d.t.Helper()
	var j relay.Delivery
	d.next(relay.FrameJob, &j)
	return j.JobID
}

func (d *desk) hello() (h relay.Hello) {
	d.t.Helper()
	d.next(relay.FrameHello, &h)
	return h
}

func TestStreamBeginsWithHello(t *testing.T) {
	d := connect(t, newSession(), handler.Options{Lease: 45 * time.Second})
	wantHeaders(t, d.header, map[string]string{"Content-Type": "text/event-stream", "X-Accel-Buffering": "no", "Cache-Control": "no-store", "Content-Encoding": ""})
	h := d.hello()
	if h.SessionID == "" || h.MaxAgeSeconds < 480 || h.MaxAgeSeconds > 720 {
		t.Errorf("hello %+v", h)
	}
	h.SessionID, h.MaxAgeSeconds = "", 0
	if diff := cmp.Diff(relay.Hello{PingSeconds: 15, LeaseSeconds: 45, OfferSeconds: 10}, h); diff != "" {
		t.Error(diff)
	}
}

// A job that waited before the stream began comes without a wake-up, a later
// one with it.
func TestStreamDeliversJobs(t *testing.T) {
	session := newSession()
	session.claims <- claimed{offers: []relay.Delivery{{JobID: "waiting", Lease: "l", TrackingURL: "https://e.com/?a=1&b=2", Context: json.RawMessage(`{"a":1}`)}}}
	d := connect(t, session, handler.Options{})
	d.hello()
	var first relay.Delivery
	d.next(relay.FrameJob, &first)
	if first.JobID != "waiting" || first.TrackingURL != "https://e.com/?a=1&b=2" || string(first.Context) != `{"a":1}` {
		t.Errorf("%+v", first)
	}
	session.offer("a", "b")
	if a, b := d.job(), d.job(); a != "a" || b != "b" {
		t.Errorf("jobs %s, %s", a, b)
	}
}

func TestStreamSignals(t *testing.T) {
	session := newSession()
	d := connect(t, session, handler.Options{})
	d.hello()
	session.signals <- relay.Signal{Kind: relay.FrameCancel, JobID: "j"}
	var cancel relay.CancelFrame
	if d.next(relay.FrameCancel, &cancel); cancel.JobID != "j" {
		t.Errorf("%+v", cancel)
	}
	session.signals <- relay.Signal{Kind: relay.FrameKeys, Revision: 7}
	var keys relay.KeysFrame
	if d.next(relay.FrameKeys, &keys); keys.Revision != 7 {
		t.Errorf("%+v", keys)
	}
	session.signals <- relay.Signal{Kind: relay.FrameBye, Code: "replaced"}
	var bye relay.Bye
	if d.next(relay.FrameBye, &bye); bye.Code != "replaced" {
		t.Errorf("%+v", bye)
	}
	d.wantEnd()
}

func TestStreamPingsAndEndsWithItsLife(t *testing.T) {
	d := connect(t, newSession(), handler.Options{Ping: 30 * time.Millisecond, StreamLife: 125 * time.Millisecond}) // ends after 100 to 150 ms
	d.hello()
	for want := int64(1); want <= 3; want++ {
		var ping relay.Ping
		if d.next(relay.FramePing, &ping); ping.Seq != want {
			t.Errorf("ping %d, want %d", ping.Seq, want)
		}
	}
	rest, err := io.ReadAll(d.lines)
	if err != nil || !strings.HasSuffix(string(rest), "event: bye\ndata: {\"code\":\"max_age\",\"retryAfterMs\":0}\n\n") {
		t.Errorf("end %q, %v", rest, err)
	}
}

// A claim that failed is tried again by itself: nobody will ring the same bell
// twice.
func TestStreamSurvivesTheStore(t *testing.T) {
	session := newSession()
	down := claimed{err: relay.NewError(relay.StoreUnavailable, "")}
	session.claims <- down
	session.claims <- down
	session.claims <- claimed{offers: []relay.Delivery{{JobID: "late"}}}
	d := connect(t, session, handler.Options{})
	d.hello()
	if got := d.job(); got != "late" {
		t.Errorf("job %s", got)
	}
}

// A device whose key is gone hears so: trying again would not help.
func TestStreamOfAGoneKeyEnds(t *testing.T) {
	session := newSession()
	session.claims <- claimed{err: relay.NewError(relay.KeyRevoked, "")}
	d := connect(t, session, handler.Options{})
	d.hello()
	var bye relay.Bye
	if d.next(relay.FrameBye, &bye); bye.Code != "device_removed" {
		t.Errorf("%+v", bye)
	}
	d.wantEnd()
}

// On drain the desktop hears when to leave, nothing is claimed any more, and
// the stream ends by itself.
func TestStreamDrains(t *testing.T) {
	session := newSession()
	d := connect(t, session, handler.Options{DrainSpread: 100 * time.Millisecond})
	d.hello()
	<-session.started // the first claim, which found nothing
	d.handler.Drain()
	d.handler.Drain()
	var drain relay.Drain
	if d.next(relay.FrameDrain, &drain); drain.ReconnectAfterMS < 0 || drain.ReconnectAfterMS >= 100 {
		t.Errorf("%+v", drain)
	}
	session.offer("must not be claimed")
	var bye relay.Bye
	if d.next(relay.FrameBye, &bye); bye.Code != "draining" {
		t.Errorf("%+v", bye)
	}
	d.wantEnd()
	if len(session.claims) != 1 {
		t.Error("a draining replica claimed")
	}
	wantProblem(t, do(d.handler.Public(), signed(device, "GET", "/api/desktop/jobs/stream", "")), relay.Draining)
}

// Offers that a claim brought while the replica began to drain go back.
func TestOffersGoBackOnDrain(t *testing.T) {
	session := newSession()
	d := connect(t, session, handler.Options{DrainSpread: time.Millisecond})
	d.hello()
	<-session.started // the first, which found nothing
	session.wake <- struct{}{}
	<-session.started // the second waits for its answer
	d.handler.Drain()
	session.claims <- claimed{offers: []relay.Delivery{{JobID: "a"}, {JobID: "b"}}}
	<-session.back
	if got := session.givenBack(); !cmp.Equal(got, []string{"a", "b"}) {
		t.Errorf("given back %q", got)
	}
	var drain relay.Drain
	d.next(relay.FrameDrain, &drain)
}

// A client that does not read is disconnected within the frame timeout, and
// what it was not sent goes back. The log says why the stream ended.
func TestSlowReaderIsDisconnected(t *testing.T) {
	session := newSession()
	core, logs := observer.New(zap.InfoLevel)
	logged := make(chan struct{}, 8)
	log := zap.New(core, zap.Hooks(func(zapcore.Entry) error { logged <- struct{}{}; return nil }))
	d := connectLogged(t, session, handler.Options{FrameTimeout: 200 * time.Millisecond}, log)
	d.hello()
	_ = d.conn.(*net.TCPConn).SetReadBuffer(4096)
	var offers []relay.Delivery
	for range 2000 { // 16 MB: more than any socket buffers
		offers = append(offers, relay.Delivery{JobID: "j", TrackingURL: strings.Repeat("x", 8192)})
	}
	session.claims <- claimed{offers: offers}
	session.wake <- struct{}{}
	select {
	case <-session.closed:
	case <-time.After(15 * time.Second):
		t.Fatal("still connected")
	}
	if n := len(session.givenBack()); n == 0 || n == len(offers) {
		t.Errorf("%d of %d offers were given back", n, len(offers))
	}
	<-logged
	if text := everything(logs); !strings.Contains(text, "code:slow_reader") {
		t.Errorf("log %s", text)
	}
}

// When the client goes away the session is closed at once.
func TestClientGone(t *testing.T) {
	session := newSession()
	d := connect(t, session, handler.Options{})
	d.hello()
	d.conn.Close()
	select {
	case <-session.closed:
	case <-time.After(5 * time.Second):
		t.Fatal("the session is still open")
	}
}

// A panic in the middle of a stream cuts the connection: a clean end would say
// that all is well.
func TestPanicCutsTheStream(t *testing.T) {
	session := newSession()
	close(session.started) // so that a claim panics
	d := connect(t, session, handler.Options{})
	d.hello()
	if rest, err := io.ReadAll(d.lines); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("end %q, %v", rest, err)
	}
	if n := d.handler.Streams(); n != 0 {
		t.Errorf("%d streams are still counted", n)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	d := connect(t, newSession(), handler.Options{MaxStreams: 1})
	d.hello()
	w := do(d.handler.Public(), signed(device, "GET", "/api/desktop/jobs/stream", ""))
	wantProblem(t, w, relay.Overloaded)
	if n := d.handler.Streams(); n != 1 {
		t.Errorf("%d streams counted", n)
	}
}

func TestMaxInFlight(t *testing.T) {
	store := newStore()
	var asked int
	store.connect = func(n int) (relay.Session, error) {
		asked = n
		return nil, relay.NewError(relay.KeyRevoked, "")
	}
	h := newHandler(t, store, handler.Options{}, nil)
	for query, want := range map[string]int{"": relay.DefaultInFlight, "?maxInFlight=1": 1, "?maxInFlight=1000": 1000, "?maxInFlight=0": 0, "?maxInFlight=1001": 0, "?maxInFlight=x": 0} {
		asked = 0
		w := do(h.Public(), signed(device, "GET", "/api/desktop/jobs/stream"+query, ""))
		if asked != want {
			t.Errorf("%q: asked for %d, want %d", query, asked, want)
		}
		if code := problem(t, w).Code; (code == relay.ValidationFailed) != (want == 0) {
			t.Errorf("%q: %s", query, code)
		}
	}
}

// Invariant: whatever a job's fields hold, its frame is read as exactly one
// event, by the letter of the SSE grammar, with the same data.
func FuzzSSE(f *testing.F) {
	f.Add("job_1", "https://e.com/\r\n\r\nevent: bye\r\ndata: {}\n\n", "\u2028\x00", []byte("{\"a\":\n \"b\"}"))
	f.Add("", "\xff", "data: x", []byte(`{}`))
	f.Fuzz(func(t *testing.T, id, url, row string, raw []byte) {
		in := relay.Delivery{JobID: id, TrackingURL: url, RowID: row}
		if json.Valid(raw) {
			in.Context = raw
		}
		frame, err := handler.AppendSSE([]byte("before"), relay.FrameJob, &in)
		if err != nil {
			t.Fatal(err)
		}
		body, ok := strings.CutPrefix(string(frame), "beforeevent: job\ndata: ")
		text, end := strings.CutSuffix(body, "\n\n")
		if !ok || !end || strings.ContainsAny(text, "\r\n") {
			t.Fatalf("frame %q", frame)
		}
		var out, want relay.Delivery
		plain, _ := json.Marshal(&in)
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			t.Fatal(err)
		}
		_ = json.Unmarshal(plain, &want)
		if !cmp.Equal(out, want) {
			t.Errorf("frame says %+v, want %+v", out, want)
		}
	})
}
