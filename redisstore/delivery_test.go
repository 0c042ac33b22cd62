package redisstore_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"linkrelay/redisstore"
	"linkrelay/relay"
)

// quick makes offers and leases lapse soon enough to wait for.
func quick(o *redisstore.Options) { o.Offer, o.Lease = 150*time.Millisecond, 300*time.Millisecond }

// claimWithin claims on wake-ups until a job comes, as a stream does.
func (b *bench) claimWithin(s relay.Session, limit time.Duration) relay.Delivery {
	b.t.Helper()
	end := time.After(limit)
	for {
		d, err := s.Claim(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		if len(d) > 0 {
			return d[0]
		}
		select {
		case <-s.Wake():
		case <-end:
			b.t.Fatalf("no job within %s", limit)
		}
	}
}

func TestOfferLapsesToAnotherDevice(t *testing.T) {
	onBoth(t, func(b *bench) {
		dead, live := b.device("dead"), b.device("live")
		api := b.platformOf(live)
		b.admit(api(), "k")
		first := b.claim(b.connect(dead(), 4), 1)[0]
		second := b.claimWithin(b.connect(live(), 4), 1500*time.Millisecond)
		if second.JobID != first.JobID || second.Lease == first.Lease || second.Attempt != 1 || second.Delivery != 2 {
			b.t.Errorf("first %+v, second %+v: want the same job, attempt 1, delivery 2", first, second)
		}
		b.acted(live(), relay.Accept, second, relay.Running)
		wantCode(b.t, b.err(b.act(dead(), relay.Accept, first)), relay.LeaseLost)
		wantCode(b.t, b.err(b.act(dead(), relay.Complete, first)), relay.LeaseLost)
		b.acted(live(), relay.Complete, second, relay.Succeeded)
	}, quick)
}

func TestOfferComesBackToTheOnlyDevice(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		api := b.platformOf(dev)
		b.admit(api(), "k")
		s := b.connect(dev(), 1) // one place: the lapsed offer must free it
		b.claim(s, 1)
		if d := b.claimWithin(s, 3*time.Second); d.Delivery != 2 || d.Attempt != 1 {
			b.t.Errorf("second offer %+v", d)
		}
	}, quick)
}

func TestLeaseExpiresAndLateResultIsTaken(t *testing.T) {
	onBoth(t, func(b *bench) {
		one, two := b.device("one"), b.device("two")
		api := b.platformOf(one)
		job := b.admit(api(), "k")
		d := b.claim(b.connect(one(), 4), 1)[0]
		b.acted(one(), relay.Accept, d, relay.Running)
		other := b.claimWithin(b.connect(two(), 4), 2*time.Second)
		if other.JobID != job.ID || other.Attempt != 2 {
			b.t.Errorf("after the lease: %+v", other)
		}
		wantCode(b.t, b.err(b.act(one(), relay.Complete, d)), relay.LeaseLost)
		b.acted(two(), relay.Release, other, relay.Queued)
		wantCode(b.t, b.err(b.act(one(), relay.Complete, d)), relay.LeaseLost)

		again := b.claimWithin(b.connect(two(), 4), 2*time.Second)
		b.acted(two(), relay.Complete, again, relay.Succeeded)

		b.admit(api(), "late")
		mine := b.claimWithin(b.connect(one(), 4), 2*time.Second)
		b.acted(one(), relay.Accept, mine, relay.Running)
		waitUntil(b.t, func() bool { return time.Now().After(mine.AcceptBy.Add(400 * time.Millisecond)) })
		b.acted(one(), relay.Complete, mine, relay.Succeeded) // the lease is over, but nobody else holds the job
	}, quick)
}

// waitUntil polls a condition that only time brings about.
func waitUntil(t testing.TB, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(10 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("it never came about")
		}
	}
}

func TestRetriesThenDeadThenRedrive(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		api := b.platformOf(dev)
		job := b.admit(api(), "k")
		s := b.connect(dev(), 4)
		for attempt := 1; attempt <= 3; attempt++ {
			d := b.claimWithin(s, time.Second)
			if d.Attempt != attempt {
				b.t.Fatalf("attempt %d, want %d", d.Attempt, attempt)
			}
			b.acted(dev(), relay.Accept, d, relay.Running)
			want := relay.Queued
			if attempt == 3 {
				want = relay.Dead
			}
			for range 2 { // the second is a lost reply's repetition
				b.acted(dev(), relay.Fail, d, want, retryable)
			}
		}
		page, err := b.s.DeadLetters(b.t.Context(), b.account, "", 10)
		b.must(page, err)
		if len(page.Items) != 1 || page.Items[0].JobID != job.ID || page.Items[0].Error != "why" || page.Items[0].Attempts != 3 {
			b.t.Fatalf("dead letters %+v", page)
		}
		back, err := b.s.Redrive(b.t.Context(), b.account, job.ID)
		b.must(back, err)
		if back.State != relay.Queued || back.Attempts != 0 {
			b.t.Errorf("redriven %+v", back)
		}
		wantCode(b.t, b.err(b.s.Redrive(b.t.Context(), b.account, job.ID)), relay.NotFound)
		d := b.claimWithin(s, time.Second)
		b.acted(dev(), relay.Accept, d, relay.Running)
		b.acted(dev(), relay.Fail, d, relay.Dead) // not retryable
		b.must(nil, b.s.DropDeadLetter(b.t.Context(), b.account, job.ID))
		q, err := b.s.Queue(b.t.Context(), b.account)
		b.must(q, err)
		if q.DeadLetters != 0 || q.Waiting != 0 || q.Running != 0 {
			b.t.Errorf("queue %+v", q)
		}
	})
}

func TestRetryWaitsForItsTime(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		api := b.platformOf(dev)
		b.admit(api(), "k")
		s := b.connect(dev(), 4)
		d := b.claim(s, 1)[0]
		b.acted(dev(), relay.Accept, d, relay.Running)
		j := b.acted(dev(), relay.Fail, d, relay.Queued, func(a *relay.Action) { a.Retryable, a.Delay = true, ptr(400*time.Millisecond) })
		if j.NotBefore == nil {
			b.t.Fatalf("no notBefore in %+v", j)
		}
		b.claim(s, 0)
		again := b.claimWithin(s, 2*time.Second)
		if early := j.NotBefore.Sub(again.AcceptBy.Add(-10 * time.Second)); early > 0 {
			b.t.Errorf("offered %s before its time", early)
		}
	})
}

func TestBackoffGrows(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		api := b.platformOf(dev)
		b.admit(api(), "k")
		d := b.claim(b.connect(dev(), 1), 1)[0]
		b.acted(dev(), relay.Accept, d, relay.Running)
		j := b.acted(dev(), relay.Fail, d, relay.Queued, func(a *relay.Action) { a.Retryable = true })
		if wait := time.Until(*j.NotBefore); wait < 2*time.Second || wait > 6*time.Second {
			b.t.Errorf("the first retry waits %s, want 2.5 to 5 s", wait)
		}
	})
}

func TestExpiredJobIsFinalOnceForEveryone(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		api := b.platformOf(dev)
		b.limits(relay.LimitOverrides{MaxBacklog: ptr(int64(1))})
		r := request("k")
		r.Expiry = 200 * time.Millisecond
		a, err := b.s.Admit(b.t.Context(), api(), r)
		b.must(a, err)
		job, err := b.s.Job(b.t.Context(), api(), a.Job.ID, 2*time.Second) // the wait ends with the job's time
		b.must(job, err)
		if job.State != relay.Expired {
			b.t.Fatalf("state %s", job.State)
		}
		wantCode(b.t, b.err(b.s.Cancel(b.t.Context(), api(), job.ID)), relay.JobFinal)
		r.IdempotencyKey = "k2"
		b.must(b.s.Admit(b.t.Context(), api(), r))
		waitUntil(b.t, func() bool {
			j, err := b.s.JobByKey(b.t.Context(), api(), "k2", 0)
			b.must(j, err)
			return j.State == relay.Expired
		})
		b.must(b.s.Admit(b.t.Context(), api(), request("k3"))) // the expired one does not fill the backlog
		b.claim(b.connect(dev(), 4), 1)
	})
}

func TestExpiryEndsARunningJob(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		api := b.platformOf(dev)
		r := request("k")
		r.Expiry = 300 * time.Millisecond
		b.must(b.s.Admit(b.t.Context(), api(), r))
		d := b.claim(b.connect(dev(), 4), 1)[0]
		b.acted(dev(), relay.Accept, d, relay.Running)
		waitUntil(b.t, func() bool { return time.Now().After(d.ExpiresAt.Add(20 * time.Millisecond)) })
		wantCode(b.t, b.err(b.act(dev(), relay.Complete, d)), relay.JobFinal)
		q, err := b.s.Quota(b.t.Context(), api())
		b.must(q, err)
		if q.Backlog.Running != 0 {
			b.t.Errorf("backlog %+v", q.Backlog)
		}
	})
}

func TestPlacesHoldAcrossSessionsAndFreeThemselves(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		api := b.platformOf(dev)
		for _, k := range []string{"1", "2", "3"} {
			b.admit(api(), k)
		}
		one, two := b.connect(dev(), 2), b.connect(dev(), 2)
		offers := b.claim(one, 2)
		b.claim(two, 0) // the device is full, whichever stream asks
		drainWake(one)
		b.acted(dev(), relay.Accept, offers[0], relay.Running)
		b.acted(dev(), relay.Complete, offers[0], relay.Succeeded)
		b.claimOnWake(one, 1)
	})
}

func drainWake(s relay.Session) {
	for {
		select {
		case <-s.Wake():
		case <-time.After(50 * time.Millisecond):
			return
		}
	}
}

// claimOnWake waits for a bell and claims once.
func (b *bench) claimOnWake(s relay.Session, want int) []relay.Delivery {
	b.t.Helper()
	select {
	case <-s.Wake():
	case <-time.After(5 * time.Second):
		b.t.Fatal("no bell")
	}
	return b.claim(s, want)
}

func TestBellIsEdgeTriggered(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		api := b.platformOf(dev)
		s := b.connect(dev(), 10)
		b.claim(s, 0)
		drainWake(s)
		b.admit(api(), "1")
		b.claimOnWake(s, 1)
		b.admit(api(), "2")
		b.claimOnWake(s, 1)
	})
}

func TestWaitReturnsWithTheResult(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		api := b.platformOf(dev)
		job := b.admit(api(), "k")
		d := b.claim(b.connect(dev(), 4), 1)[0]
		got := make(chan relay.Job)
		go func() {
			j, err := b.s.Job(context.WithoutCancel(b.t.Context()), api(), job.ID, 20*time.Second)
			if err != nil {
				b.t.Error(err)
			}
			got <- j
		}()
		b.acted(dev(), relay.Accept, d, relay.Running)
		start := time.Now()
		b.acted(dev(), relay.Complete, d, relay.Succeeded)
		if j := <-got; j.State != relay.Succeeded || time.Since(start) > 5*time.Second {
			b.t.Errorf("waited %s for %+v", time.Since(start), j)
		}
	})
}

func TestLeaseIsBoundToItsJobAndDevice(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev, thief := b.device("d"), b.device("thief")
		api := b.platformOf(dev)
		b.admit(api(), "1")
		b.admit(api(), "2")
		d := b.claim(b.connect(dev(), 4), 2)
		swapped := d[0]
		swapped.Lease = d[1].Lease
		wantCode(b.t, b.err(b.act(dev(), relay.Accept, swapped)), relay.LeaseLost)
		wantCode(b.t, b.err(b.act(thief(), relay.Accept, d[0])), relay.LeaseLost)
		for _, lease := range []string{"", ".", "x", strings.Repeat("a", 31)} {
			bad := d[0]
			bad.Lease = lease
			wantCode(b.t, b.err(b.act(dev(), relay.Accept, bad)), relay.LeaseLost)
		}
	})
}

func TestAuditTrailTellsTheStory(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		api := b.platformOf(dev)
		job := b.admit(api(), "k")
		d := b.claim(b.connect(dev(), 4), 1)[0]
		b.acted(dev(), relay.Accept, d, relay.Running)
		b.acted(dev(), relay.Complete, d, relay.Succeeded)
		var kinds []string
		cursor := ""
		for { // in small pages
			page, err := b.s.Events(b.t.Context(), b.account, cursor, 2)
			b.must(page, err)
			for _, e := range page.Items {
				if id := e.About["jobId"]; id != "" && id != job.ID {
					b.t.Errorf("event about %q", id)
				}
				kinds = append([]string{e.Kind}, kinds...)
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		want := "account.created link_code.created device.linked key.created job.queued job.offered job.accepted job.succeeded"
		if got := strings.Join(kinds, " "); got != want {
			b.t.Errorf("audit trail:\n%s\nwant\n%s", got, want)
		}
	})
}

// A device that is full of what it lost is not kept so by jobs that wait for a
// retry: its lapsed leases are settled although many others are due before them.
func TestLapsedLeasesBehindManyRetries(t *testing.T) {
	t.Parallel()
	b := newBench(t, open(t, servers["redis"], func(o *redisstore.Options) { o.Lease = 400 * time.Millisecond }))
	dev := b.device("d")
	api := b.platformOf(dev)
	b.limits(relay.LimitOverrides{MaxInFlight: ptr(int64(0))})
	const retries, held = 100, 4
	for i := range retries + held {
		b.admit(api(), "k"+string(rune('a'+i%26))+relay.RandomText(6))
	}
	s := b.connect(dev(), retries+held)
	var offers []relay.Delivery
	for len(offers) < retries+held {
		more, err := s.Claim(t.Context())
		b.must(more, err)
		offers = append(offers, more...)
	}
	for _, d := range offers[:held] {
		b.acted(dev(), relay.Accept, d, relay.Running)
	}
	for _, d := range offers[held:] { // their retry is due before the leases are
		b.acted(dev(), relay.Fail, d, relay.Queued, retryable)
	}
	s.Close()
	waitUntil(t, func() bool { return time.Now().After(offers[0].AcceptBy.Add(-9 * time.Second)) })
	crashed := b.connect(dev(), held) // full of what it held, until that lapsed
	b.claimWithin(crashed, 3*time.Second)
}

// While a job rests from the only device there is, that device is not rung for
// it over and over.
func TestRestingJobIsNoAlarm(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		api := b.platformOf(dev)
		b.admit(api(), "k")
		s := b.connect(dev(), 4) // with places left, so that it marks itself as waiting
		b.claim(s, 1)
		end := time.After(5 * time.Second)
		for claims := 1; ; claims++ {
			select {
			case <-s.Wake():
			case <-end:
				b.t.Fatal("the job never came back")
			}
			offers, err := s.Claim(b.t.Context())
			b.must(offers, err)
			if len(offers) > 0 {
				if claims > 10 {
					b.t.Errorf("%d claims until the job came back", claims)
				}
				return
			}
		}
	}, quick)
}

// A clock that was stepped back stops neither ids from growing nor windows from
// opening.
func TestClockSteppedBack(t *testing.T) {
	onBoth(t, func(b *bench) {
		api := b.platform()
		b.limits(relay.LimitOverrides{PerMinute: ptr(int64(60))}) // one a second, after a burst of 60
		first := b.admit(api(), "first")
		ahead := first.CreatedAt.Add(time.Minute).UnixMilli() // as if the last job was admitted before the step
		b.must(client(b.t, b.url).HSet(b.t.Context(), b.key(""), "em", ahead, "es", 0).Result())
		for i := range 59 {
			if j := b.admit(api(), "k"+strconv.Itoa(i)); j.CreatedAt.UnixMilli() < ahead {
				b.t.Fatalf("created %s, before the job before it", j.CreatedAt)
			}
		}
		var e *relay.Error
		waitUntil(b.t, func() bool { // until the burst is used up, if the machine is slow
			_, err := b.s.Admit(b.t.Context(), api(), request("x"+strconv.Itoa(b.nonces)))
			e, _ = errors.AsType[*relay.Error](err)
			return e != nil
		})
		if e.Code != relay.RateLimited || e.RetryAfter > time.Second {
			b.t.Fatalf("%v after %s", e, e.RetryAfter)
		}
		waitUntil(b.t, func() bool { return b.err(b.s.Admit(b.t.Context(), api(), request("last"))) == nil })
		b.claim(b.connect(b.device("desk")(), 32), 32) // the stream took them all in order
	})
}
