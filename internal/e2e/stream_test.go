package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"linkrelay/client"
	"linkrelay/relay"
)

// soon is how long a frame may take from its cause on a busy machine.
const soon = time.Second

// The stream as it goes over the wire: its headers, hello at once, and a job's
// frame soon after its admission at another replica.
func TestStreamOnTheWire(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	d := w.account("").link("desktop")
	k := d.key(client.KeySpec{})
	r := d.signs().call(http.MethodGet, "/api/desktop/jobs/stream?maxInFlight=2", "")
	q, err := http.NewRequestWithContext(t.Context(), r.method, w.replicas[0].public+r.target, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header = r.header
	began := time.Now()
	resp, err := (&http.Client{Transport: watched{transport}}).Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "X-Accel-Buffering": "no", "Cache-Control": "no-store", "Content-Encoding": ""} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	stream := bufio.NewScanner(resp.Body)
	hello := event[relay.Hello](t, stream, "hello")
	if took := time.Since(began); took > soon {
		t.Errorf("hello after %v", took)
	}
	if hello.SessionID == "" || hello.PingSeconds != 15 || hello.LeaseSeconds != 60 || hello.OfferSeconds != 10 || hello.MaxAgeSeconds < 8*60 || hello.MaxAgeSeconds > 12*60 {
		t.Errorf("hello %+v", hello)
	}
	const body = `{"idempotencyKey":"order","trackingUrl":"https://click.example/c/7?a=1&b=<2>","source":"mail","rowId":"7","context":{"note":"line\nbreak\u2028"},"expiresInSeconds":600}`
	job := as[relay.Job](t, send(t, w.replicas[1].public, k.fetch(body)), http.StatusAccepted)
	began = time.Now()
	offer := event[relay.Delivery](t, stream, "job")
	if took := time.Since(began); took > soon {
		t.Errorf("the job frame came %v after the answer to its platform", took)
	}
	shown.secret("lease", offer.Lease)
	if in := time.Until(offer.AcceptBy); in <= 0 || in > 10*time.Second {
		t.Errorf("to be accepted in %v", in)
	}
	want := relay.Delivery{JobID: job.ID, Lease: offer.Lease, Delivery: 1, Attempt: 1, AcceptBy: offer.AcceptBy, TrackingURL: "https://click.example/c/7?a=1&b=<2>",
		Source: "mail", RowID: "7", Context: offer.Context, ExpiresAt: job.ExpiresAt}
	if diff := cmp.Diff(want, offer); diff != "" || offer.Lease == "" {
		t.Errorf("job frame (-want +got):\n%s", diff)
	}
	var context map[string]string
	if err := json.Unmarshal(offer.Context, &context); err != nil || context["note"] != "line\nbreak\u2028" {
		t.Errorf("context %s: %v", offer.Context, err)
	}
	if lives := job.ExpiresAt.Sub(job.CreatedAt); lives != 600*time.Second {
		t.Errorf("the job lives %v", lives)
	}
}

// event reads one server-sent event, which must be two lines and an empty one.
// One about keys that were made before may come in between.
func event[T any](t *testing.T, stream *bufio.Scanner, kind string) T {
	t.Helper()
	var got [3]string
	for i := range got {
		if !stream.Scan() {
			t.Fatalf("the stream ended: %v", stream.Err())
		}
		got[i] = stream.Text()
	}
	if got[0] == "event: keys" && kind == "job" {
		return event[T](t, stream, kind)
	}
	data, ok := strings.CutPrefix(got[1], "data: ")
	var v T
	if err := json.Unmarshal([]byte(data), &v); err != nil || !ok || got[0] != "event: "+kind || got[2] != "" {
		t.Fatalf("event %q: %v, want %s", got, err, kind)
	}
	return v
}

// A running job that its platform cancels is called off at the desktop, over
// whichever replica; what the desktop still says about it is refused.
func TestCancelReachesTheDesktop(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	here, there := w.replicas[0].public, w.replicas[1].public
	a := w.account("")
	d := a.link("desktop")
	k := d.key(client.KeySpec{})
	frames := d.frames(here, 1)
	running := holdJob(t, d, k, there, frames, "running")
	waiting := as[relay.Job](t, send(t, there, k.fetch(jobBody("waiting", somewhere))), http.StatusAccepted)

	began := time.Now()
	cancelled := as[relay.Job](t, send(t, there, k.call(http.MethodDelete, "/api/links/jobs/"+running.JobID, "")), http.StatusOK)
	if cancelled.State != relay.Cancelled || cancelled.FinishedAt == nil {
		t.Errorf("cancelled: %+v", cancelled)
	}
	got := map[relay.FrameKind]string{}
	for range 2 { // in either order: the bells for them are two
		f := receive(t, frames, "frame")
		var names struct{ JobID string }
		if err := json.Unmarshal(f.Data, &names); err != nil {
			t.Fatal(err)
		}
		got[f.Kind] = names.JobID
	}
	if took := time.Since(began); took > soon {
		t.Errorf("the frames came after %v", took)
	}
	if diff := cmp.Diff(map[relay.FrameKind]string{relay.FrameCancel: running.JobID, relay.FrameJob: waiting.ID}, got); diff != "" {
		t.Errorf("frames (-want +got):\n%s", diff)
	}
	for _, late := range []request{d.acts(running, "complete", `"result":1`), d.acts(running, "extend"), d.acts(running, "fail", `"error":"x"`)} {
		if e := refused(t, send(t, here, late), relay.JobFinal); e.JobID != running.JobID {
			t.Errorf("names job %q, want %q", e.JobID, running.JobID)
		}
	}
	again := as[relay.Job](t, send(t, here, k.call(http.MethodDelete, "/api/links/jobs/"+running.JobID, "")), http.StatusOK)
	if diff := cmp.Diff(cancelled, again); diff != "" {
		t.Errorf("cancelled again:\n%s", diff)
	}
}

// A job that waits and is cancelled gives its quota back, once.
func TestCancelGivesQuotaBackOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	a := w.account(`"plan":"business","limits":{"perDay":1}`)
	k := a.link("desktop").key(client.KeySpec{})
	for round := range 3 {
		made := as[relay.Job](t, send(t, w.public(), k.fetch(jobBody(fmt.Sprint("order-", round), somewhere))), http.StatusAccepted)
		refused(t, send(t, w.public(), k.fetch(jobBody("one too many", somewhere))), relay.QuotaExceeded)
		for range 2 {
			as[relay.Job](t, send(t, w.public(), k.call(http.MethodDelete, "/api/links/jobs/"+made.ID, "")), http.StatusOK)
		}
	}
	if q := a.queue(); q.Waiting != 0 {
		t.Errorf("%d jobs wait", q.Waiting)
	}
}

// A device has no more deliveries than it asked for, whatever replica it acts
// through; what it completes there makes room here.
func TestCompletionElsewhereFreesThePlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	here, there := w.replicas[0].public, w.replicas[1].public
	a := w.account("")
	d := a.link("desktop")
	k := d.key(client.KeySpec{})
	frames := d.frames(here, 1)
	elsewhere := d.frames(there, 1) // the same device, connected twice
	var jobs []string
	for i := range 4 {
		jobs = append(jobs, as[relay.Job](t, send(t, w.public(), k.fetch(jobBody(fmt.Sprint("order-", i), somewhere))), http.StatusAccepted).ID)
	}
	for i, id := range jobs {
		var offer relay.Delivery
		select {
		case f := <-frames:
			offer = decode[relay.Delivery](t, f, relay.FrameJob)
		case f := <-elsewhere:
			offer = decode[relay.Delivery](t, f, relay.FrameJob)
		case <-time.After(patience):
			t.Fatalf("no frame for job %d", i)
		}
		if offer.JobID != id {
			t.Fatalf("offered %s as number %d, want %s: first come, first served", offer.JobID, i, id)
		}
		if q := a.queue(); q.Waiting != int64(len(jobs)-i) || q.Running != 0 {
			t.Errorf("queue %+v with offer %d out", q, i)
		}
		as[relay.Job](t, send(t, there, d.acts(offer, "accept")), http.StatusOK)
		if n := len(frames) + len(elsewhere); n != 0 {
			t.Errorf("%d more frames while the only place is taken", n)
		}
		as[relay.Job](t, send(t, there, d.acts(offer, "complete", `"result":`+fmt.Sprint(i))), http.StatusOK)
	}
}

// An offer that nobody accepts goes to another device; that is no attempt. The
// first device's lease has no more force then.
func TestOfferNotAcceptedGoesElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "RELAY_OFFER=1s")
	a := w.account("")
	deaf, awake := a.link("deaf"), a.link("awake")
	k := awake.key(client.KeySpec{})
	unheard := deaf.frames(w.replicas[0].public, 4)
	job := as[relay.Job](t, send(t, w.public(), k.fetch(jobBody("order", somewhere))), http.StatusAccepted)
	first := jobFrame(t, unheard)
	heard := awake.frames(w.replicas[1].public, 4)
	second := jobFrame(t, heard)
	if second.JobID != job.ID || second.Delivery != 2 || second.Attempt != 1 || second.Lease == first.Lease {
		t.Errorf("second offer %+v", second)
	}
	if e := refused(t, send(t, w.public(), deaf.acts(first, "accept")), relay.LeaseLost); e.JobID != job.ID {
		t.Errorf("lease_lost names job %q, want %q", e.JobID, job.ID)
	}
	for range 2 { // also when the answer to the first was lost
		done := as[relay.Job](t, send(t, w.public(), awake.acts(second, "complete", `"result":"x"`)), http.StatusOK)
		if done.State != relay.Succeeded || done.Attempts != 1 {
			t.Errorf("done %+v", done)
		}
	}
}

// A key that was revoked admits nothing more, over no replica, whatever they
// remember of it; connected desktops are told.
func TestRevokedKeyHoldsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	d := w.account("").link("desktop")
	k := d.key(client.KeySpec{})
	for i, r := range w.replicas { // both have it in memory
		as[relay.Job](t, send(t, r.public, k.fetch(jobBody(fmt.Sprint("order-", i), somewhere))), http.StatusAccepted)
	}
	frames := d.frames(w.replicas[1].public, 1, relay.FrameKeys)
	left := as[relay.KeyInventory](t, send(t, w.replicas[0].public, d.signs().call(http.MethodDelete, "/api/desktop/keys/"+k.id, "")), http.StatusOK)
	if len(left.Keys) != 0 {
		t.Errorf("keys after the revocation: %+v", left)
	}
	for _, r := range w.replicas {
		refused(t, send(t, r.public, k.fetch(jobBody("late", somewhere))), relay.KeyRevoked)
		refused(t, send(t, r.public, k.call(http.MethodGet, "/api/links/quota", "")), relay.KeyRevoked)
	}
	for told := int64(0); told != left.Revision; {
		if f := receive(t, frames, "keys frame of the revocation"); f.Kind == relay.FrameKeys {
			told = decode[relay.KeysFrame](t, f, relay.FrameKeys).Revision
		}
	}
}

// Long polls end with the job, at whatever replica it ends.
func TestWaitEndsWithTheJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	d := w.account("").link("desktop")
	k := d.key(client.KeySpec{})
	frames := d.frames(w.replicas[0].public, 1)
	held := holdJob(t, d, k, w.replicas[0].public, frames, "order")
	c := w.redis.Client(t)
	before := c.DBSize(t.Context()).Val()
	waits := make(chan answer, 2)
	for _, target := range []string{"/api/links/jobs/" + held.JobID + "?wait=25", "/api/links/jobs?idempotencyKey=order&wait=25"} {
		go func() { waits <- send(t, w.replicas[1].public, k.call(http.MethodGet, target, "")) }()
	}
	eventually(t, "both long polls are under way: their nonces are burnt", func() bool { return c.DBSize(t.Context()).Val() == before+2 })
	began := time.Now()
	as[relay.Job](t, send(t, w.replicas[0].public, d.acts(held, "complete", `"result":{"n":1}`)), http.StatusOK)
	for range 2 {
		job := as[relay.Job](t, receive(t, waits, "answer to a long poll"), http.StatusOK)
		if job.State != relay.Succeeded || string(job.Result) != `{"n":1}` {
			t.Errorf("%+v", job)
		}
	}
	if took := time.Since(began); took > soon {
		t.Errorf("the long polls ended %v after the job", took)
	}
}
