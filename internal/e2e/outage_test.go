package e2e_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"linkrelay/client"
	"linkrelay/internal/redistest"
	"linkrelay/relay"
	"linkrelay/signature"
)

// durable starts a Redis that survives its own crash.
func durable(t *testing.T) *redistest.Server {
	t.Helper()
	return redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
}

// A request that was refused for quota is as good as new once there is quota.
func TestQuotaRefusalCanBeSentAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	a := w.account(`"plan":"business","limits":{"perDay":1}`)
	k := a.link("desktop").key(client.KeySpec{})
	if got := send(t, w.public(), k.fetch(jobBody("order-1", somewhere))); got.status != http.StatusAccepted {
		t.Fatalf("%d %s", got.status, got.body)
	}
	second := k.fetch(jobBody("order-2", somewhere))
	for range 3 {
		e := refused(t, send(t, w.public(), second), relay.QuotaExceeded)
		if len(e.Windows) != 1 || e.Windows[0] != "day" {
			t.Errorf("windows %q, want day", e.Windows)
		}
	}
	a.change(`"limits":{"perDay":2}`)
	got := send(t, w.public(), second)
	if job := as[relay.Job](t, got, http.StatusAccepted); job.IdempotencyKey != "order-2" || got.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("sent again: %s, Idempotent-Replayed %q", got.body, got.header.Get("Idempotent-Replayed"))
	}
	refused(t, send(t, w.public(), second), relay.NonceReplayed)
	refused(t, send(t, w.public(), k.fetch(jobBody("order-3", somewhere))), relay.QuotaExceeded)
}

// outages are the ways to lose Redis: it crashes, or it stops answering while
// its connections stay open.
var outages = map[string]struct {
	begin, end func(*testing.T, *redistest.Server)
}{
	"crashed": {
		func(_ *testing.T, s *redistest.Server) { s.Kill() },
		func(t *testing.T, s *redistest.Server) {
			if err := s.Restart(); err != nil {
				t.Fatal(err)
			}
		},
	},
	"hanging": {
		func(_ *testing.T, s *redistest.Server) { s.Pause() },
		func(_ *testing.T, s *redistest.Server) { s.Resume() },
	},
}

// What every answer takes at most while Redis is away (CONTRACT §5).
const outageLimit = 2 * time.Second

// Without Redis every signed call is refused soon and in form, and nothing is
// refused for good: the relay recovers by itself, and the very same request
// then passes, also when Redis had received it and only the reply was lost.
func TestRedisOutage(t *testing.T) {
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			redis := durable(t)
			w := worldOn(t, redis, 1)
			base := w.replicas[0].public
			a := w.account("")
			d := a.link("desktop")
			k := d.key(client.KeySpec{})
			frames := d.frames(base, 2)
			held, spare := holdJob(t, d, k, base, frames, "held"), holdJob(t, d, k, base, frames, "spare")
			worked := make(chan relay.Delivery, 10)
			a.link("steady desktop").run(base, func(_ context.Context, d relay.Delivery) (json.RawMessage, error) {
				worked <- d
				return json.RawMessage(`"worked"`), nil
			})

			outage.begin(t, redis)
			order := k.fetch(jobBody("order", somewhere))
			calls := append(signedCalls(d, k, held, spare), order)
			var all sync.WaitGroup
			for _, r := range calls {
				all.Go(func() { unavailable(t, base, r) })
			}
			all.Go(func() {
				unavailable(t, base, request{http.MethodPost, "/api/desktop/link", jsonHeader(http.Header{}), `{"code":"ABCD-EFGH-JKMN-PQRS","name":"n","platform":"p"}`})
			})
			all.Go(func() {
				unavailable(t, w.replicas[0].admin, request{http.MethodGet, "/api/admin/accounts/" + a.id, http.Header{"Authorization": {"Bearer " + adminToken}}, ""})
			})
			for _, listener := range []string{base, w.replicas[0].admin} {
				all.Go(func() {
					if got := probe(t, listener, "/livez"); got.status != http.StatusOK || got.took > outageLimit {
						t.Errorf("livez: %d after %v", got.status, got.took)
					}
					if got := probe(t, listener, "/readyz"); got.status != http.StatusServiceUnavailable || got.took > outageLimit || !strings.Contains(string(got.body), `"store":"unavailable"`) {
						t.Errorf("readyz: %d %s after %v", got.status, got.body, got.took)
					}
				})
			}
			all.Wait()
			unavailable(t, base, order) // and it may try as often as it likes

			outage.end(t, redis)
			eventually(t, "readiness after the outage", func() bool { return probe(t, base, "/readyz").status == http.StatusOK })
			got := send(t, base, order)
			job := as[relay.Job](t, got, http.StatusAccepted)
			if got.header.Get("Idempotent-Replayed") != "" {
				t.Errorf("the request was new, and the answer says it was not: %s", got.body)
			}
			if e := refused(t, send(t, base, order), relay.NonceReplayed); e.JobID != job.ID {
				t.Errorf("the replay names job %q, want %q", e.JobID, job.ID)
			}
			for on := ""; on != job.ID; { // the others are those that Redis had received
				on = receive(t, worked, "job for the desktop that was connected all the time").JobID
			}
			if done, err := k.platform(t, base).Wait(t.Context(), job.ID); err != nil || string(done.Result) != `"worked"` {
				t.Errorf("after the outage: %+v, %v", done, err)
			}
			// The job that was held meanwhile is still held.
			if job := as[relay.Job](t, send(t, base, d.acts(held, "complete", `"result":1`)), http.StatusOK); job.State != relay.Succeeded || job.Attempts != 1 {
				t.Errorf("the held job: %+v", job)
			}
		})
	}
}

// holdJob has the device accept a new job.
func holdJob(t *testing.T, d device, k key, base string, frames <-chan client.Frame, idempotencyKey string) relay.Delivery {
	t.Helper()
	as[relay.Job](t, send(t, base, k.fetch(jobBody(idempotencyKey, somewhere))), http.StatusAccepted)
	held := jobFrame(t, frames)
	as[relay.Job](t, send(t, base, d.acts(held, "accept")), http.StatusOK)
	return held
}

// acts is the request of an action on a delivery.
func (d device) acts(j relay.Delivery, verb string, members ...string) request {
	body := `{"lease":"` + j.Lease + `"` + strings.Join(append([]string{""}, members...), ",") + `}`
	return d.signs().call(http.MethodPost, "/api/desktop/jobs/"+j.JobID+"/"+verb, body)
}

// signedCalls is every signed call of the contract. Redis may get to see some
// of them later: those that end something end the spare job, or a key that is not there.
func signedCalls(d device, k key, held, spare relay.Delivery) []request {
	job := "/api/links/jobs/" + held.JobID
	return []request{
		k.fetch(jobBody("another", somewhere)),
		k.call(http.MethodGet, job, ""),
		k.call(http.MethodGet, job+"?wait=25", ""),
		k.call(http.MethodGet, "/api/links/jobs?idempotencyKey=held", ""),
		k.call(http.MethodDelete, "/api/links/jobs/"+spare.JobID, ""),
		k.call(http.MethodGet, "/api/links/quota", ""),
		d.signs().call(http.MethodGet, "/api/desktop/jobs/stream", ""),
		d.acts(held, "accept"),
		d.acts(held, "extend"),
		d.acts(spare, "complete", `"result":{}`),
		d.acts(spare, "fail", `"error":"no"`),
		d.acts(spare, "release"),
		d.signs().call(http.MethodGet, "/api/desktop/keys", ""),
		d.signs().call(http.MethodPost, "/api/desktop/keys", `{"name":"made in an outage","environment":"test"}`),
		d.signs().call(http.MethodDelete, "/api/desktop/keys/"+signature.NewKeyID(signature.KindTest), ""),
	}
}

// unavailable sends a request that must be refused in time and in form.
func unavailable(t *testing.T, base string, r request) {
	t.Helper()
	a := send(t, base, r)
	if a.took > outageLimit {
		t.Errorf("%s %s: %v, want at most %v", r.method, r.target, a.took, outageLimit)
	}
	if a.status != http.StatusServiceUnavailable {
		t.Errorf("%s %s: %d %s", r.method, r.target, a.status, a.body)
		return
	}
	refused(t, a, relay.StoreUnavailable)
}

func probe(t *testing.T, base, path string) answer {
	t.Helper()
	return send(t, base, request{http.MethodGet, path, nil, ""})
}
