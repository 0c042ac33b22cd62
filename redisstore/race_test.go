package redisstore_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"linkrelay/redisstore"
	"linkrelay/relay"
)

// twoReplicas opens a second store on the server of a test.
func twoReplicas(b *bench) [2]*redisstore.Store {
	b.t.Helper()
	return [2]*redisstore.Store{b.s, open(b.t, b.url)}
}

// crowd is how many callers a test lets loose: fewer on the embedded server,
// whose Lua is slow, so that none of them is refused for want of time.
func (b *bench) crowd(n int) int {
	if b.url == servers["embedded"] {
		return n / 10
	}
	return n
}

// together runs n calls at once and waits for all.
func together(n int, call func(i int)) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			<-start
			call(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

func TestOneJobForOneIdempotencyKey(t *testing.T) {
	onBoth(t, func(b *bench) {
		stores, api := twoReplicas(b), b.platform()
		answers := make([]relay.Admission, b.crowd(300))
		together(len(answers), func(i int) {
			var err error
			if answers[i], err = stores[i%2].Admit(context.Background(), api(), request("k")); err != nil {
				b.t.Error(err)
			}
		})
		fresh := 0
		for _, a := range answers {
			if a.Job.ID != answers[0].Job.ID || a.Job.State != relay.Queued || !a.Job.CreatedAt.Equal(answers[0].Job.CreatedAt) {
				b.t.Errorf("answers differ: %+v and %+v", a.Job, answers[0].Job)
			}
			if !a.Replayed {
				fresh++
			}
		}
		if got := b.traces(client(b.t, b.url)); fresh != 1 || got != oneJob {
			b.t.Errorf("%d made the job, which left %+v", fresh, got)
		}
	})
}

func TestOneNoncePassesOnce(t *testing.T) {
	onBoth(t, func(b *bench) {
		stores, c := twoReplicas(b), b.platform()()
		var admitted atomic.Int32
		together(b.crowd(50), func(i int) {
			switch _, err := stores[i%2].Admit(context.Background(), c, request("k")); relay.CodeOf(err) {
			case relay.NonceReplayed:
			default:
				if err != nil {
					b.t.Error(err)
				}
				admitted.Add(1)
			}
		})
		if got := b.traces(client(b.t, b.url)); admitted.Load() != 1 || got != oneJob {
			b.t.Errorf("%d passed, and left %+v", admitted.Load(), got)
		}
	})
}

// The same for requests that differ: one nonce, many idempotency keys.
func TestOneNonceMakesOneJob(t *testing.T) {
	onBoth(t, func(b *bench) {
		stores, c := twoReplicas(b), b.platform()()
		together(b.crowd(50), func(i int) {
			_, err := stores[i%2].Admit(context.Background(), c, request(fmt.Sprint("k", i)))
			if err != nil && relay.CodeOf(err) != relay.NonceReplayed {
				b.t.Error(err)
			}
		})
		if got := b.traces(client(b.t, b.url)); got != oneJob {
			b.t.Errorf("they left %+v", got)
		}
	})
}

// What a retry must repeat is what names the work; it may say anything about
// context and time, which stay the first request's.
func TestRetryMayDifferInContextAndExpiry(t *testing.T) {
	onBoth(t, func(b *bench) {
		api := b.platform()
		first := b.admit(api(), "k")
		r := request("k")
		r.Context, r.Expiry = nil, 2*time.Hour
		a, err := b.s.Admit(b.t.Context(), api(), r)
		b.must(a, err)
		if !a.Replayed || a.Job.ID != first.ID || !a.Job.ExpiresAt.Equal(first.ExpiresAt) || string(a.Job.Context) != `{"a":1}` {
			b.t.Errorf("the retry got %+v, the first request %+v", a.Job, first)
		}
		for _, change := range []func(*relay.JobRequest){
			func(r *relay.JobRequest) { r.TrackingURL += "x" }, func(r *relay.JobRequest) { r.Source += "x" }, func(r *relay.JobRequest) { r.RowID += "x" },
			func(r *relay.JobRequest) { r.TrackingURL = r.TrackingURL[:len(r.TrackingURL)-1] }, func(r *relay.JobRequest) { r.RowID = "" },
		} {
			r := request("k")
			change(r)
			wantCode(b.t, b.err(b.s.Admit(b.t.Context(), api(), r)), relay.IdempotencyMismatch)
		}
	})
}

// No burst gets more than a limit through, over any replica, and what is
// refused takes nothing.
func TestLimitsHoldInABurst(t *testing.T) {
	onBoth(t, func(b *bench) {
		stores, api := twoReplicas(b), b.platform()
		for i, l := range []relay.LimitOverrides{
			{PerMinute: ptr(int64(7))},
			{PerMinute: ptr(int64(0)), PerDay: ptr(int64(14))},
			{PerDay: ptr(int64(0)), MaxBacklog: ptr(int64(21))},
		} {
			b.limits(l)
			var admitted atomic.Int32
			together(b.crowd(120), func(n int) {
				_, err := stores[n%2].Admit(context.Background(), api(), request(fmt.Sprint(i, "-", n)))
				if err == nil {
					admitted.Add(1)
				}
			})
			if admitted.Load() != 7 {
				b.t.Errorf("limits %d: %d were admitted, want 7", i, admitted.Load())
			}
		}
	})
}

// One holder of one delivery: however many devices act at once, one wins.
func TestOneAcceptOfManyClaims(t *testing.T) {
	onBoth(t, func(b *bench) {
		stores, api := twoReplicas(b), b.platform()
		b.admit(api(), "k")
		var offers, cancelled atomic.Int32
		sessions := make([]relay.Session, 10)
		for i := range sessions {
			var err error
			sessions[i], err = stores[i%2].Connect(b.t.Context(), b.device(fmt.Sprint(i))(), 2)
			b.must(nil, err)
			b.t.Cleanup(sessions[i].Close)
		}
		together(len(sessions), func(i int) {
			d, err := sessions[i].Claim(context.Background())
			if err != nil {
				b.t.Error(err)
			}
			offers.Add(int32(len(d)))
		})
		if offers.Load() != 1 {
			b.t.Errorf("the job was offered %d times", offers.Load())
		}
		job, err := b.s.JobByKey(b.t.Context(), api(), "k", 0)
		b.must(job, err)
		together(10, func(i int) {
			if _, err := stores[i%2].Cancel(context.Background(), api(), job.ID); err == nil {
				cancelled.Add(1)
			}
		})
		got := b.traces(client(b.t, b.url))
		if cancelled.Load() != 10 || got.charged != "0" || got.waiting != "0" {
			b.t.Errorf("%d cancels were answered, and left %+v", cancelled.Load(), got)
		}
	})
}

// desk runs the life of one device as a stream does: claim on wake-ups, accept
// and complete what comes, and count every delivery.
func desk(ctx context.Context, b *bench, s *redisstore.Store, caller func() relay.Caller, seen *sync.Map, done func()) {
	session, err := s.Connect(ctx, caller(), 4)
	if err != nil {
		b.t.Error(err)
		return
	}
	defer session.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-session.Wake():
		}
		offers, err := session.Claim(context.WithoutCancel(ctx))
		if err != nil {
			b.t.Error(err)
			return
		}
		for _, d := range offers {
			if _, twice := seen.LoadOrStore(d.JobID, true); twice || d.Delivery != 1 || d.Attempt != 1 {
				b.t.Errorf("delivered again: %+v", d)
			}
			for _, verb := range []relay.Verb{relay.Accept, relay.Complete} {
				a := relay.Action{Verb: verb, JobID: d.JobID, Lease: d.Lease, Result: []byte(`{}`)}
				if _, err := s.Act(context.WithoutCancel(ctx), caller(), a); err != nil {
					b.t.Errorf("%s: %v", verb, err)
				}
			}
			done()
		}
	}
}

// Many devices over two replicas work off what is admitted meanwhile: each job
// is delivered once, and nothing of it stays but the records.
func TestEveryJobIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]struct{ devices, jobs int }{"redis": {64, 500}, "embedded": {8, 60}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, open(t, servers[name]))
			b.url = servers[name]
			b.limits(relay.LimitOverrides{MaxDevices: ptr(int64(0))})
			stores, api := twoReplicas(b), b.platform()
			devices := make([]func() relay.Caller, n.devices)
			for i := range devices {
				devices[i] = b.device(fmt.Sprint(i))
			}
			ctx, stop := context.WithTimeout(context.Background(), 60*time.Second)
			defer stop()
			var seen sync.Map
			var left atomic.Int64
			left.Store(int64(n.jobs))
			var desks sync.WaitGroup
			for i, dev := range devices {
				desks.Go(func() {
					desk(ctx, b, stores[i%2], dev, &seen, func() {
						if left.Add(-1) == 0 {
							stop()
						}
					})
				})
			}
			together(20, func(i int) {
				for j := i; j < n.jobs; j += 20 {
					if _, err := stores[j%2].Admit(context.Background(), api(), request(fmt.Sprint("k", j))); err != nil {
						t.Error(err)
					}
				}
			})
			desks.Wait()
			if left.Load() != 0 {
				t.Fatalf("%d jobs were not delivered", left.Load())
			}
			for i := range n.jobs {
				j, err := stores[i%2].JobByKey(context.Background(), api(), fmt.Sprint("k", i), 0)
				if err != nil || j.State != relay.Succeeded || j.Attempts != 1 {
					t.Errorf("job %d: %+v, %v", i, j, err)
				}
			}
			b.settled()
		})
	}
}

// settled checks that no job of the account is open, in any structure.
func (b *bench) settled() {
	b.t.Helper()
	ctx, rdb := context.Background(), client(b.t, b.url)
	fields, err := rdb.HGetAll(ctx, b.key("")).Result()
	b.must(fields, err)
	for name, value := range fields {
		if (name == "q" || name == "r" || name[0] == 'f') && value != "0" {
			b.t.Errorf("field %s is %s", name, value)
		}
	}
	pending, err := rdb.XPending(ctx, b.key(":s"), "relay").Result()
	b.must(pending, err)
	if n := rdb.XLen(ctx, b.key(":s")).Val() + rdb.ZCard(ctx, b.key(":d")).Val() + pending.Count; n != 0 {
		b.t.Errorf("stream %d, due %d, pending %d", rdb.XLen(ctx, b.key(":s")).Val(), rdb.ZCard(ctx, b.key(":d")).Val(), pending.Count)
	}
}
