package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"linkrelay/client"
	"linkrelay/relay"
)

// slowSite answers its first visitor when the test says so, all others at once.
type slowSite struct {
	*httptest.Server
	visits chan struct{} // receives for each visitor
	answer chan struct{} // closed: the first visitor is answered
}

func newSlowSite(t *testing.T) *slowSite {
	s := &slowSite{visits: make(chan struct{}, 10), answer: make(chan struct{})}
	var first atomic.Bool
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		slow := first.CompareAndSwap(false, true)
		s.visits <- struct{}{}
		if slow {
			select {
			case <-s.answer:
			case <-r.Context().Done():
			}
		}
		fmt.Fprint(w, "found")
	}))
	t.Cleanup(s.Close)
	return s
}

// linkDesktop links a desktop with the command, and returns where its
// credentials are.
func (a account) linkDesktop() (state string) {
	a.w.t.Helper()
	state = filepath.Join(a.w.t.TempDir(), "desktop.json")
	a.w.command("desktop", "link", "--state", state, "--relay-url", a.w.public(), "--code", a.linkCode())
	var made struct{ Secret string }
	text, err := os.ReadFile(state)
	if err == nil {
		err = json.Unmarshal(text, &made)
	}
	if err != nil || made.Secret == "" {
		a.w.t.Fatalf("%s holds no secret: %v", state, err)
	}
	shown.secret("secret", made.Secret)
	return state
}

// A desktop that dies in the middle of a job, or hangs, costs the job nothing
// but time: another desktop finishes it. Whatever the first one still says
// about it is too late.
func TestDesktopLostMidJob(t *testing.T) {
	lost := []string{"job.queued", "job.offered", "job.accepted", "job.lease_expired", "job.offered", "job.accepted", "job.succeeded"}
	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "hanging": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2, "RELAY_LEASE=1s", "RELAY_OFFER=1s")
			a, site, log := w.account(""), newSlowSite(t), newJournal()
			first := w.start(log, nil, "desktop", "run", "--state", a.linkDesktop(), "--allow-private")
			second := a.link("second")
			k := second.key(client.KeySpec{})
			job := as[relay.Job](t, send(t, w.public(), k.fetch(jobBody("order", site.URL))), http.StatusAccepted)
			receive(t, site.visits, "visit of the first desktop")

			first.signal(signal)
			second.run(w.replicas[1].public, answers(`"by the second"`))
			done, err := k.platform(t, w.public()).Wait(t.Context(), job.ID)
			if err != nil || done.State != relay.Succeeded || done.Attempts != 2 || string(done.Result) != `"by the second"` {
				t.Fatalf("%+v, %v; log of the first desktop:\n%s", done, err, log.bytes())
			}
			if diff := cmp.Diff(lost, a.history(job.ID)); diff != "" {
				t.Errorf("history of the job (-want +got):\n%s", diff)
			}
			if signal != syscall.SIGSTOP {
				return
			}

			close(site.answer)
			first.signal(syscall.SIGCONT)
			log.awaitText(t, "job="+job.ID, "report not taken", "job stopped")
			if again, err := k.platform(t, w.public()).Job(t.Context(), job.ID, 0); err != nil || !cmp.Equal(again, done) {
				t.Errorf("%+v, %v; it was\n%+v", again, err, done)
			}
			if diff := cmp.Diff(lost, a.history(job.ID)); diff != "" {
				t.Errorf("history of the job (-want +got):\n%s", diff)
			}
		})
	}
}

// A replica that is stopped while a desktop works on a job hands the desktop
// over to another replica and loses nothing: no request fails, and the job is
// done at the first attempt.
func TestDrainedReplica(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, "RELAY_DRAIN=2s")
	w.replicas = []*replica{w.serveProcess(), w.serveProcess()}
	b := newBalancer(t, w.replicas...)
	a := w.account("")
	d := a.link("desktop")
	k := d.key(client.KeySpec{})
	begun, finish := make(chan struct{}, 100), make(chan struct{})
	d.run(b.URL, func(ctx context.Context, _ relay.Delivery) (json.RawMessage, error) {
		begun <- struct{}{}
		select {
		case <-finish:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		return json.RawMessage(`"done"`), nil
	})
	leaving := receive(t, b.streams, "stream")
	job := as[relay.Job](t, send(t, b.URL, k.fetch(jobBody("order", somewhere))), http.StatusAccepted)
	receive(t, begun, "begin of the work")

	leaving.signal(syscall.SIGTERM)
	for n, over := 0, false; !over; n++ { // the other platforms notice nothing
		as[relay.Job](t, send(t, b.URL, k.fetch(jobBody(fmt.Sprint("meanwhile-", n%50), somewhere))), http.StatusAccepted)
		select {
		case <-leaving.ended:
			over = true
		default:
		}
	}
	if code := leaving.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the replica ended with %d", code)
	}
	if next := receive(t, b.streams, "second stream"); next == leaving {
		t.Error("the desktop came back to the replica that was leaving")
	}
	close(finish)
	done, err := k.platform(t, b.URL).Wait(t.Context(), job.ID)
	if err != nil || done.State != relay.Succeeded || done.Attempts != 1 || string(done.Result) != `"done"` {
		t.Errorf("%+v, %v", done, err)
	}
	if diff := cmp.Diff([]string{"job.queued", "job.offered", "job.accepted", "job.succeeded"}, a.history(job.ID)); diff != "" {
		t.Errorf("history of the job (-want +got):\n%s", diff)
	}
}
