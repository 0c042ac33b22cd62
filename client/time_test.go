package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"linkrelay/client"
	"linkrelay/relay"
)

// The tests in this file run in simulated time.

func usual(o *client.Options) { o.Backoff, o.Reconnect = client.Backoff{}, client.Backoff{} }

// A relay that is gone is asked less and less often, at least every half
// minute; one hello, and the next failure starts from the beginning.
func TestReconnectBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.opening(func(w http.ResponseWriter) bool { http.Error(w, "", http.StatusBadGateway); return true })
		run(t, newDesktop(t, viaMemory(d), usual), returning("{}"))
		time.Sleep(30 * time.Minute)
		if n := len(d.streams); n < 70 || n > 240 { // 15 s on average: 120
			t.Errorf("%d connections in half an hour", n)
		}
		for len(d.streams) > 0 {
			<-d.streams
		}
		d.opening(nil)
		s := <-d.streams
		for range 5 {
			left := time.Now()
			close(s.frames)
			if s = <-d.streams; s.at.Sub(left) > time.Second {
				t.Errorf("came back after %v, though the connection had been good", s.at.Sub(left))
			}
		}
	})
}

// The client comes back when the relay asked it to, not before.
func TestAskedToStayAway(t *testing.T) {
	for name, part := range map[string]func(*desk, *stream){
		"bye":   func(_ *desk, s *stream) { s.send(relay.FrameBye, relay.Bye{Code: "max_age", RetryAfterMS: 90_000}) },
		"drain": func(_ *desk, s *stream) { s.send(relay.FrameDrain, relay.Drain{ReconnectAfterMS: 90_000}) },
		"drain, then gone": func(_ *desk, s *stream) {
			s.send(relay.FrameDrain, relay.Drain{ReconnectAfterMS: 90_000})
			close(s.frames)
		},
		"503": func(d *desk, s *stream) {
			first := true
			d.opening(func(w http.ResponseWriter) bool {
				if !first {
					return false
				}
				first = false
				refuse(w, relay.Overloaded, 90)
				return true
			})
			close(s.frames)
			<-d.streams
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t)
				d.hello.PingSeconds = 60 // the drained stream stays silent
				run(t, newDesktop(t, viaMemory(d), usual), returning("{}"))
				s := <-d.streams
				left := time.Now()
				part(d, s)
				if away := (<-d.streams).at.Sub(left); away < 90*time.Second || away > 92*time.Second {
					t.Errorf("came back after %v", away)
				}
			})
		})
	}
}

// A draining relay may still offer jobs until the client has left.
func TestDrainingStreamStillCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		run(t, newDesktop(t, viaMemory(d)), returning("{}"))
		s := <-d.streams
		s.send(relay.FrameDrain, relay.Drain{ReconnectAfterMS: 5000})
		s.send(relay.FrameJob, job("job_1"))
		d.expect("accept", "job_1")
		d.expect("complete", "job_1")
	})
}

// Three silent ping intervals mean a dead connection, pings a living one.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		run(t, newDesktop(t, viaMemory(d), usual), returning("{}"))
		s := <-d.streams
		for n := range 100 {
			time.Sleep(40 * time.Second)
			s.send(relay.FramePing, relay.Ping{Seq: int64(n)})
		}
		last := time.Now()
		if len(d.streams) != 0 {
			t.Fatal("left a connection that was alive")
		}
		if silent := (<-d.streams).at.Sub(last); silent < 45*time.Second || silent > 47*time.Second {
			t.Errorf("gave up after %v of silence", silent)
		}
		<-s.gone
	})
}

// A stream that connects but never greets (a buffering proxy) is given up.
func TestNoHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		mute := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusOK)
			<-r.Context().Done()
		})
		begun := time.Now()
		_, err := newDesktop(t, viaMemory(mute)).Open(t.Context())
		if took := time.Since(begun); err == nil || errors.Is(err, context.Canceled) || took != client.HelloTimeout {
			t.Errorf("Open = %v after %v", err, took)
		}
		_ = d
	})
}

// Heartbeats keep well ahead of the lease's end, through an outage as well.
func TestHeartbeatPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.hello.PingSeconds = 3600
		d.on(func(a act, w http.ResponseWriter) bool {
			if a.Verb == "extend" && a.at.Second() < 10 { // unreachable for 10 s of each minute
				refuse(w, relay.StoreUnavailable, 1)
				return true
			}
			return false
		})
		release := make(chan struct{})
		run(t, newDesktop(t, viaMemory(d), usual), func(context.Context, relay.Delivery) (json.RawMessage, error) {
			<-release
			return nil, nil
		})
		(<-d.streams).send(relay.FrameJob, job("job_1"))
		last, beats := d.expect("accept", "job_1").at, 0
		time.Sleep(30 * time.Minute)
		for len(d.acts) > 0 {
			a := <-d.acts
			if a.at.Second() < 10 {
				continue
			}
			if gap := a.at.Sub(last); gap > 40*time.Second {
				t.Errorf("no heartbeat got through for %v of a lease of 60 s", gap)
			}
			last = a.at
			beats++
		}
		if beats < 60 || beats > 150 {
			t.Errorf("%d heartbeats in half an hour", beats)
		}
		close(release)
		d.expect("complete", "job_1")
	})
}

// An accept the relay may or may not have heard is taken back, so that nobody
// waits for a lease that nobody uses.
func TestAcceptInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.on(func(a act, w http.ResponseWriter) bool {
			if a.Verb == "accept" {
				refuse(w, relay.StoreUnavailable, 30) // longer than the offer stands
				return true
			}
			return false
		})
		run(t, newDesktop(t, viaMemory(d)), returning("{}"))
		(<-d.streams).send(relay.FrameJob, job("job_1"))
		d.expect("accept", "job_1")
		d.expect("release", "job_1")
	})
}

// Stopping: whoever finishes within the grace period reports, whoever does not
// is told to stop and the job given back, and Run returns in bounded time even
// if a handler never does.
func TestStop(t *testing.T) {
	const grace = time.Minute
	never := make(chan struct{})
	for name, c := range map[string]struct {
		handle client.Handler
		verb   string
		after  time.Duration
	}{
		"finishes": {func(ctx context.Context, _ relay.Delivery) (json.RawMessage, error) {
			time.Sleep(40 * time.Second)
			return nil, ctx.Err()
		}, "complete", 40 * time.Second},
		"fails": {func(context.Context, relay.Delivery) (json.RawMessage, error) {
			time.Sleep(40 * time.Second)
			return nil, errors.New("x")
		}, "fail", 40 * time.Second},
		"is stopped": {func(ctx context.Context, _ relay.Delivery) (json.RawMessage, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, "release", grace},
		"has a result at the last moment": {func(ctx context.Context, _ relay.Delivery) (json.RawMessage, error) {
			<-ctx.Done()
			return nil, nil
		}, "complete", grace},
		"ignores its context": {func(context.Context, relay.Delivery) (json.RawMessage, error) {
			<-never
			return nil, nil
		}, "release", grace + client.WindUp},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				never = make(chan struct{})
				d := newDesk(t)
				r := run(t, newDesktop(t, viaMemory(d), usual, func(o *client.Options) { o.Grace = grace }), c.handle)
				s := <-d.streams
				s.send(relay.FrameJob, job("job_1"))
				d.expect("accept", "job_1")
				synctest.Wait()
				r.stop()
				stopped := time.Now()
				<-s.gone // no more jobs are taken
				if err := <-r.done; err != nil {
					t.Errorf("Run = %v", err)
				}
				if took := time.Since(stopped); took < c.after || took > c.after+time.Second {
					t.Errorf("took %v, want %v", took, c.after)
				}
				d.expect(c.verb, "job_1")
				close(never)
			})
		})
	}
}

// A stop during an outage is bounded too.
func TestStopWithoutRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		why := make(chan error, 10)
		r := run(t, newDesktop(t, viaMemory(d), usual, func(o *client.Options) { o.Grace = -1 }), hold(why, "{}", nil))
		(<-d.streams).send(relay.FrameJob, job("job_1"))
		d.expect("accept", "job_1")
		d.on(func(_ act, w http.ResponseWriter) bool { refuse(w, relay.StoreUnavailable); return true })
		synctest.Wait()
		r.stop()
		stopped := time.Now()
		if err := <-r.done; err != nil {
			t.Errorf("Run = %v", err)
		}
		if took := time.Since(stopped); took > 15*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// stuck is a handler that ignores its context until it is let go.
func stuck(t *testing.T) client.Handler {
	let := make(chan struct{})
	t.Cleanup(func() { close(let) })
	return func(context.Context, relay.Delivery) (json.RawMessage, error) {
		<-let
		return nil, nil
	}
}

// A handler that ignores that its lease was lost cannot hold up a stop.
func TestStopWithoutLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		d.on(func(a act, w http.ResponseWriter) bool {
			if a.Verb == "extend" {
				refuse(w, relay.LeaseLost)
			}
			return a.Verb == "extend"
		})
		r := run(t, newDesktop(t, viaMemory(d), usual), stuck(t))
		(<-d.streams).send(relay.FrameJob, job("job_1"))
		time.Sleep(time.Minute)
		r.stop()
		stopped := time.Now()
		if err := <-r.done; err != nil || time.Since(stopped) > 15*time.Second {
			t.Errorf("Run = %v after %v", err, time.Since(stopped))
		}
	})
}

// A removed device stops at once: nobody takes its results any more.
func TestDeviceRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		why := make(chan error, 10)
		r := run(t, newDesktop(t, viaMemory(d), func(o *client.Options) { o.Grace = time.Minute }), hold(why, "", errors.New("x")))
		s := <-d.streams
		s.send(relay.FrameJob, job("job_1"))
		if begun := <-why; begun != nil {
			t.Fatal(begun)
		}
		removed := time.Now()
		s.send(relay.FrameBye, relay.Bye{Code: "device_removed"})
		var bye *client.ByeError
		if err := <-r.done; !errors.As(err, &bye) || bye.Code != "device_removed" {
			t.Errorf("Run = %v", err)
		}
		if err := <-why; !errors.Is(err, client.ErrStopping) || time.Since(removed) > time.Second {
			t.Errorf("handler ended by %v after %v", err, time.Since(removed))
		}
	})
}

// verbs returns what was done since it was last asked, in order.
func (d *desk) verbs() (all []string) {
	synctest.Wait()
	for len(d.acts) > 0 {
		a := <-d.acts
		all = append(all, a.Verb+" "+a.Job)
	}
	return all
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("actions %q, want %q", got, want)
	}
}

func TestSameOfferTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		run(t, newDesktop(t, viaMemory(d)), hold(make(chan error, 10), "", nil))
		s := <-d.streams
		s.send(relay.FrameJob, job("a"))
		s.send(relay.FrameJob, job("a"))
		same(t, d.verbs(), "accept a")
		again := job("a")
		again.Lease = "another lease"
		s.send(relay.FrameJob, again)
		same(t, d.verbs(), "accept a") // another delivery of the same job
	})
}

// Never more handlers than MaxInFlight, and no accept before there is room: an
// offer that cannot be begun in time must be free to go elsewhere.
func TestMaxInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		turn := make(chan struct{})
		run(t, newDesktop(t, viaMemory(d), func(o *client.Options) { o.MaxInFlight = 1 }), func(context.Context, relay.Delivery) (json.RawMessage, error) {
			<-turn
			return nil, nil
		})
		s := <-d.streams
		for _, id := range []string{"a", "b", "c"} { // c is one too many to wait for room
			s.send(relay.FrameJob, job(id))
			synctest.Wait()
		}
		same(t, d.verbs(), "accept a")
		turn <- struct{}{}
		same(t, d.verbs(), "accept b", "complete a")
		turn <- struct{}{}
		same(t, d.verbs(), "complete b")
		s.send(relay.FrameJob, job("d"))
		synctest.Wait()
		s.send(relay.FrameJob, job("e"))
		time.Sleep(11 * time.Second) // longer than an offer stands
		turn <- struct{}{}
		same(t, d.verbs(), "accept d", "complete d")
	})
}

// After a reconnect everything held is extended at once, long before its
// heartbeat is due: that tells what is still ours.
func TestReconnectChecksLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		run(t, newDesktop(t, viaMemory(d)), hold(make(chan error, 10), "", nil))
		s := <-d.streams
		s.send(relay.FrameJob, job("a"))
		s.send(relay.FrameJob, job("b"))
		same(t, d.verbs(), "accept a", "accept b")
		close(s.frames)
		<-d.streams
		same(t, d.verbs(), "extend a", "extend b")
	})
}

// A heartbeat that hangs holds up neither the result nor a stop.
func TestHeartbeatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		hanging := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/extend") {
				<-r.Context().Done()
				return
			}
			d.ServeHTTP(w, r)
		})
		finish := make(chan struct{})
		run(t, newDesktop(t, viaMemory(hanging)), func(context.Context, relay.Delivery) (json.RawMessage, error) {
			<-finish
			return nil, nil
		})
		(<-d.streams).send(relay.FrameJob, job("a"))
		time.Sleep(21 * time.Second) // a heartbeat is under way
		close(finish)
		same(t, d.verbs(), "accept a", "complete a")
	})
}

// A job cancelled before its accept was answered is not begun, and nothing
// more is said about it.
func TestCancelledBeforeItBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/accept") {
				<-r.Context().Done()
			}
			d.ServeHTTP(w, r)
		})
		why := make(chan error, 10)
		run(t, newDesktop(t, viaMemory(slow)), hold(why, "", nil))
		s := <-d.streams
		s.send(relay.FrameJob, job("a"))
		synctest.Wait()
		s.send(relay.FrameCancel, relay.CancelFrame{JobID: "a"})
		same(t, d.verbs(), "accept a")
		if len(why) > 0 {
			t.Error("the handler was called")
		}
	})
}
