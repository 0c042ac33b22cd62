package e2e_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"linkrelay/client"
	"linkrelay/relay"
)

// together sends all requests at the same moment, by turns to each replica. What
// a machine that is too busy answers with 503 is sent again unchanged, as CONTRACT
// §2 lets everybody.
func (w *world) together(requests []request) []answer {
	answers := make([]answer, len(requests))
	start := make(chan struct{})
	var all sync.WaitGroup
	for i, r := range requests {
		base := w.public()
		all.Go(func() {
			<-start
			for try := 0; try < 5 && (try == 0 || answers[i].status == http.StatusServiceUnavailable); try++ {
				answers[i] = send(w.t, base, r)
			}
		})
	}
	close(start)
	all.Wait()
	return answers
}

// One idempotency key is one job, however many ask for it and wherever.
func TestOneIdempotencyKeyOneJob(t *testing.T) {
	w := newWorld(t, 2)
	a := w.account("")
	k := a.link("desktop").key(client.KeySpec{})
	requests := make([]request, 300)
	for i := range requests {
		requests[i] = k.fetch(jobBody("order-1", somewhere))
	}
	var made []relay.Job
	replayed := 0
	for _, r := range w.together(requests) {
		made = append(made, as[relay.Job](t, r, http.StatusAccepted))
		switch r.header.Get("Idempotent-Replayed") {
		case "true":
			replayed++
		case "":
		default:
			t.Errorf("Idempotent-Replayed: %s", r.header.Get("Idempotent-Replayed"))
		}
	}
	if replayed != 299 {
		t.Errorf("%d answers say that the job was there, want 299", replayed)
	}
	for _, j := range made[1:] {
		if diff := cmp.Diff(made[0], j); diff != "" {
			t.Fatalf("two answers differ:\n%s", diff)
		}
	}
	if q := a.queue(); q.Waiting != 1 || q.Running != 0 {
		t.Errorf("queue %+v, want one waiting job", q)
	}
	quota, err := k.platform(t, w.public()).Quota(t.Context())
	if err != nil || len(quota.Windows) != 3 {
		t.Fatalf("quota %+v, %v", quota, err)
	}
	for _, window := range quota.Windows {
		if window.Used > 1 || window.Used == 0 && window.Name != "minute" { // which flows back with the clock
			t.Errorf("window %+v, want one used", window)
		}
	}
}

// A nonce passes once, over all replicas; whoever is refused learns which job
// the first request made.
func TestNoncePassesOnce(t *testing.T) {
	w := newWorld(t, 2)
	a := w.account("")
	k := a.link("desktop").key(client.KeySpec{})
	captured := k.fetch(jobBody("order-1", somewhere))
	requests := make([]request, 100)
	for i := range requests {
		requests[i] = captured
	}
	var passed []string
	var named []string
	for _, r := range w.together(requests) {
		if r.status == http.StatusAccepted {
			passed = append(passed, as[relay.Job](t, r, http.StatusAccepted).ID)
		} else {
			named = append(named, refused(t, r, relay.NonceReplayed).JobID)
		}
	}
	if len(passed) != 1 || len(named) != 99 {
		t.Fatalf("%d passed and %d were refused, want 1 and 99", len(passed), len(named))
	}
	for _, id := range named {
		if id != passed[0] {
			t.Errorf("a refusal names job %q, want %q", id, passed[0])
		}
	}
	// Nor does it pass later, with another body, or for another call.
	nonce := captured.header.Get("X-Link-Peeler-Nonce")
	for _, base := range []string{w.replicas[0].public, w.replicas[1].public} {
		if e := refused(t, send(t, base, captured), relay.NonceReplayed); e.JobID != passed[0] {
			t.Errorf("names job %q", e.JobID)
		}
		refused(t, send(t, base, k.fetchAt(time.Now(), nonce, jobBody("order-2", somewhere))), relay.NonceReplayed)
		read := k.call(http.MethodGet, "/api/links/quota", "")
		if got := send(t, base, read); got.status != http.StatusOK {
			t.Errorf("quota: %d %s", got.status, got.body)
		}
		for _, again := range []string{w.replicas[0].public, w.replicas[1].public} {
			refused(t, send(t, again, read), relay.NonceReplayed)
		}
	}
	if q := a.queue(); q.Waiting != 1 {
		t.Errorf("%d jobs wait, want 1", q.Waiting)
	}
}
