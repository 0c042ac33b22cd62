package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"linkrelay/client"
	"linkrelay/relay"
)

func TestRunWorksOffAJob(t *testing.T) {
	d := newDesk(t)
	want := job("job_1")
	want.Context = []byte(`{"a":1}`)
	got := make(chan relay.Delivery, 1)
	r := run(t, newDesktop(t, overSocket(t, d), func(o *client.Options) { o.MaxInFlight = 7 }), func(_ context.Context, d relay.Delivery) (json.RawMessage, error) {
		got <- d
		return json.RawMessage(`{ "finalUrl": "https://x/?a=1&b=<c>" }`), nil
	})
	receive(t, d.streams).send(relay.FrameJob, want)
	if diff := cmp.Diff(want, receive(t, got)); diff != "" {
		t.Error(diff)
	}
	if a := d.expect("accept", "job_1"); a.Body["lease"] != want.Lease || len(a.Body) != 1 {
		t.Errorf("accept %v", a.Body)
	}
	d.expect("complete", "job_1")
	r.stop()
	if err := receive(t, r.done); err != nil {
		t.Errorf("Run = %v", err)
	}
	all := d.requests()
	if all[0].Target != "/api/desktop/jobs/stream?maxInFlight=7" || all[0].Header.Get("Accept") != "text/event-stream" {
		t.Errorf("stream: %s, Accept %s", all[0].Target, all[0].Header.Get("Accept"))
	}
	if body := string(all[len(all)-1].Body); body != `{"lease":"lease-job_1","result":{"finalUrl":"https://x/?a=1&b=<c>"}}` {
		t.Errorf("complete %s", body)
	}
}

type stubborn struct{ error }

func (stubborn) Retryable() bool { return false }

// What a handler returns becomes the one report that says it.
func TestReports(t *testing.T) {
	failed := errors.New("no route\nto host")
	for name, c := range map[string]struct {
		handle client.Handler
		verb   string
		body   string
	}{
		"error":      {failing(failed), "fail", `{"error":"no route to host","lease":"lease-job_1","retryable":true}`},
		"permanent":  {failing(client.Permanent(failed)), "fail", `{"error":"no route to host","lease":"lease-job_1","retryable":false}`},
		"later":      {failing(client.RetryIn(failed, 1500*time.Millisecond)), "fail", `{"delaySeconds":2,"error":"no route to host","lease":"lease-job_1","retryable":true}`},
		"much later": {failing(client.RetryIn(failed, 1000*time.Hour)), "fail", `{"delaySeconds":86400,"error":"no route to host","lease":"lease-job_1","retryable":true}`},
		"own kind":   {failing(stubborn{failed}), "fail", `{"error":"no route to host","lease":"lease-job_1","retryable":false}`},
		"silent":     {failing(errors.New("")), "fail", `{"error":"failed without a reason","lease":"lease-job_1","retryable":true}`},
		"panic": {func(context.Context, relay.Delivery) (json.RawMessage, error) { panic("ouch") }, "fail",
			`{"error":"the handler panicked","lease":"lease-job_1","retryable":true}`},
		"nothing":  {returning(""), "complete", `{"lease":"lease-job_1","result":null}`},
		"not json": {returning("{"), "fail", `{"error":"the handler's result is not JSON","lease":"lease-job_1","retryable":false}`},
		"too large": {returning(`"` + strings.Repeat("<", relay.MaxResult) + `"`), "fail",
			`{"error":"the handler's result is larger than 64 KiB","lease":"lease-job_1","retryable":false}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			run(t, newDesktop(t, overSocket(t, d)), c.handle)
			receive(t, d.streams).send(relay.FrameJob, job("job_1"))
			d.expect("accept", "job_1")
			if body, _ := json.Marshal(d.expect(c.verb, "job_1").Body); string(body) != c.body {
				t.Errorf("%s\n got %s\nwant %s", c.verb, body, c.body)
			}
		})
	}
}

func failing(err error) client.Handler {
	return func(context.Context, relay.Delivery) (json.RawMessage, error) { return nil, err }
}

func returning(result string) client.Handler {
	return func(context.Context, relay.Delivery) (json.RawMessage, error) { return json.RawMessage(result), nil }
}

// A report is repeated until the relay has taken it or refused it for good.
func TestReportsAreRepeated(t *testing.T) {
	for name, c := range map[string]struct {
		refuse func(n int, w http.ResponseWriter) bool
		verbs  []string
	}{
		"outage": {func(n int, w http.ResponseWriter) bool {
			switch {
			case n > 20: // more than one call's attempts
				return false
			case n%2 == 0:
				cut(w)
			default:
				refuse(w, relay.StoreUnavailable)
			}
			return true
		}, slice("complete", 21)},
		"proxy": {func(n int, w http.ResponseWriter) bool {
			if n < 3 {
				http.Error(w, "", http.StatusForbidden)
			}
			return n < 3
		}, slice("complete", 3)},
		"lease lost": {func(_ int, w http.ResponseWriter) bool { refuse(w, relay.LeaseLost); return true }, slice("complete", 1)},
		"job final":  {func(_ int, w http.ResponseWriter) bool { refuse(w, relay.JobFinal); return true }, slice("complete", 1)},
		"result refused": {func(n int, w http.ResponseWriter) bool {
			if n == 1 {
				refuse(w, relay.BodyTooLarge)
			}
			return n == 1
		}, []string{"complete", "fail"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			var n atomic.Int32
			d.on(func(a act, w http.ResponseWriter) bool {
				return a.Job == "job_1" && a.Verb != "accept" && c.refuse(int(n.Add(1)), w)
			})
			run(t, newDesktop(t, overSocket(t, d), func(o *client.Options) { o.MaxInFlight = 1 }), returning("{}"))
			s := receive(t, d.streams)
			s.send(relay.FrameJob, job("job_1"))
			d.expect("accept", "job_1")
			for _, verb := range c.verbs {
				d.expect(verb, "job_1")
			}
			s.send(relay.FrameJob, job("job_2")) // comes next, so nothing else was reported
			d.expect("accept", "job_2")
		})
	}
}

func slice(verb string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = verb
	}
	return out
}

func TestFramesThatMakeNoSense(t *testing.T) {
	d := newDesk(t)
	run(t, newDesktop(t, overSocket(t, d)), returning("{}"))
	s := receive(t, d.streams)
	for _, text := range []string{
		"event: job\ndata: {\n\n", "event: job\ndata: {}\n\n", "event: job\ndata: {\"jobId\":\"j\"}\n\n", "event: cancel\ndata: 7\n\n",
		"event: cancel\ndata: {\"jobId\":\"unknown\"}\n\n", "event: drain\ndata: x\n\n", "event: novelty\ndata: {}\n\n", ": comment\n\n",
	} {
		s.frames <- text
	}
	s.send(relay.FrameJob, job("job_1"))
	d.expect("accept", "job_1")
	d.expect("complete", "job_1")
}

func TestOfferGone(t *testing.T) {
	d := newDesk(t)
	d.on(func(a act, w http.ResponseWriter) bool {
		if a.Job == "job_1" {
			refuse(w, relay.LeaseLost)
			return true
		}
		return false
	})
	handled := make(chan string, 10)
	run(t, newDesktop(t, overSocket(t, d), func(o *client.Options) { o.MaxInFlight = 1 }), func(_ context.Context, d relay.Delivery) (json.RawMessage, error) {
		handled <- d.JobID
		return nil, nil
	})
	s := receive(t, d.streams)
	s.send(relay.FrameJob, job("job_1"))
	s.send(relay.FrameJob, job("job_2"))
	if id := receive(t, handled); id != "job_2" {
		t.Errorf("handled %s, whose offer was gone", id)
	}
}

// hold is a handler that says nil when it begins, works until its context
// ends, and then says why it did.
func hold(why chan<- error, result string, err error) client.Handler {
	return func(ctx context.Context, _ relay.Delivery) (json.RawMessage, error) {
		why <- nil
		<-ctx.Done()
		why <- context.Cause(ctx)
		return json.RawMessage(result), err
	}
}

// The lease is kept alive while the handler works; once lost, the handler's
// context ends. A failure is then nobody's business, a result may still count.
func TestLease(t *testing.T) {
	for name, c := range map[string]struct {
		code     relay.Code
		err      error
		why      error
		reported bool
	}{
		"lost":                 {relay.LeaseLost, errors.New("x"), client.ErrLeaseLost, false},
		"lost, yet a result":   {relay.LeaseLost, nil, client.ErrLeaseLost, true},
		"forgotten":            {relay.NotFound, errors.New("x"), client.ErrLeaseLost, false},
		"job final":            {relay.JobFinal, nil, client.ErrCancelled, false},
		"told the final state": {"", nil, client.ErrCancelled, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.hello.LeaseSeconds = 1
			var beats atomic.Int32
			d.on(func(a act, w http.ResponseWriter) bool {
				if a.Verb != "extend" || beats.Add(1) < 3 {
					return false
				}
				if c.code == "" {
					answer(w, http.StatusOK, relay.Job{ID: a.Job, State: relay.Cancelled})
				} else {
					refuse(w, c.code)
				}
				return true
			})
			why := make(chan error, 10)
			run(t, newDesktop(t, overSocket(t, d)), hold(why, "{}", c.err))
			s := receive(t, d.streams)
			s.send(relay.FrameJob, job("job_1"))
			_ = receive(t, why)
			if err := receive(t, why); !errors.Is(err, c.why) || beats.Load() != 3 {
				t.Errorf("ended by %v after %d heartbeats", err, beats.Load())
			}
			d.expect("accept", "job_1")
			if c.reported {
				d.expect("complete", "job_1")
			}
			s.send(relay.FrameJob, job("job_2"))
			d.expect("accept", "job_2")
		})
	}
}

func TestCancelFrame(t *testing.T) {
	d := newDesk(t)
	why := make(chan error, 10)
	run(t, newDesktop(t, overSocket(t, d)), hold(why, "{}", nil))
	s := receive(t, d.streams)
	s.send(relay.FrameJob, job("job_1"))
	s.send(relay.FrameJob, job("job_2"))
	for range 2 {
		receive(t, d.acts)
		_ = receive(t, why)
	}
	s.send(relay.FrameCancel, relay.CancelFrame{JobID: "job_1"})
	if err := receive(t, why); !errors.Is(err, client.ErrCancelled) {
		t.Errorf("ended by %v", err)
	}
	s.send(relay.FrameJob, job("job_3"))
	d.expect("accept", "job_3") // nothing was reported for job_1, and job_2 goes on
	_ = receive(t, why)
	if len(why) != 0 {
		t.Error("another job was stopped too")
	}
}

// Run ends by itself only when no patience can help.
func TestHopeless(t *testing.T) {
	for code, hopeless := range map[relay.Code]bool{
		relay.SignatureInvalid: true, relay.KeyRevoked: true, relay.NotFound: true,
		relay.MembershipInactive: false, relay.IPNotAllowed: false, relay.RateLimited: false, relay.InternalError: false, relay.TimestampOutOfWindow: false,
	} {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.opening(func(w http.ResponseWriter) bool { refuse(w, code); return true })
			r := run(t, newDesktop(t, overSocket(t, d)), returning("{}"))
			for range 3 {
				receive(t, d.streams)
				if hopeless {
					if err := receive(t, r.done); relay.CodeOf(err) != code {
						t.Errorf("Run = %v", err)
					}
					return
				}
			}
			r.stop()
			if err := receive(t, r.done); err != nil {
				t.Errorf("Run = %v", err)
			}
		})
	}
}
