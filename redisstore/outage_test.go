package redisstore_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"linkrelay/internal/redistest"
	"linkrelay/relay"
)

// durable starts a server that keeps what it has over a crash.
func durable(t *testing.T) *redistest.Server {
	t.Helper()
	return redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
}

// unavailableSoon runs every kind of call at once: each must be refused as an
// outage within the time that CONTRACT §5 gives.
func unavailableSoon(b *bench, dev, api func() relay.Caller, session relay.Session, job relay.Job, d relay.Delivery, admit func() error) {
	b.t.Helper()
	ctx := context.Background()
	calls := map[string]func() error{
		"admit":             admit,
		"admit another":     func() error { return b.err(b.s.Admit(ctx, api(), request("other"))) },
		"job":               func() error { return b.err(b.s.Job(ctx, api(), job.ID, 0)) },
		"job with wait":     func() error { return b.err(b.s.Job(ctx, api(), job.ID, time.Minute)) },
		"job by key":        func() error { return b.err(b.s.JobByKey(ctx, api(), "first", 0)) },
		"cancel":            func() error { return b.err(b.s.Cancel(ctx, api(), job.ID)) },
		"quota":             func() error { return b.err(b.s.Quota(ctx, api())) },
		"claim":             func() error { return b.err(session.Claim(ctx)) },
		"connect":           func() error { return b.err(b.s.Connect(ctx, dev(), 1)) },
		"create key":        func() error { return b.err(b.s.CreateKey(ctx, dev(), relay.KeySpec{ID: "lp_live_x", Secret: "s"})) },
		"rotate key":        func() error { return b.err(b.s.RotateKey(ctx, dev(), api().KeyID, "s", 0)) },
		"check":             func() error { return b.err(b.s.Check(ctx, api(), request("other"))) },
		"single-use":        func() error { return b.err(b.s.Admit(ctx, once(api(), "signed"), request("other"))) },
		"keys":              func() error { return b.err(b.s.KeyInventory(ctx, dev())) },
		"link":              func() error { return b.err(b.s.Link(ctx, "code", relay.DeviceSpec{ID: "d", KeyID: "lp_device_x"})) },
		"unknown key":       func() error { return b.err(b.s.FreshCredential(ctx, "lp_live_"+relay.RandomText(16))) },
		"account":           func() error { return b.err(b.s.Account(ctx, b.account)) },
		"change account":    func() error { return b.err(b.s.ChangeAccount(ctx, b.account, relay.AccountChange{})) },
		"queue":             func() error { return b.err(b.s.Queue(ctx, b.account)) },
		"events":            func() error { return b.err(b.s.Events(ctx, b.account, "", 10)) },
		"dead letters":      func() error { return b.err(b.s.DeadLetters(ctx, b.account, "", 10)) },
		"redrive":           func() error { return b.err(b.s.Redrive(ctx, b.account, job.ID)) },
		"create link code":  func() error { return b.err(b.s.CreateLinkCode(ctx, b.account, "CODE", time.Minute)) },
		"ping":              func() error { return b.s.Ping(ctx) },
		"operator's keys":   func() error { return b.err(b.s.Keys(ctx, b.account)) },
		"devices":           func() error { return b.err(b.s.Devices(ctx, b.account)) },
		"drop a dead job":   func() error { return b.s.DropDeadLetter(ctx, b.account, job.ID) },
		"act on a delivery": func() error { return b.err(b.act(dev(), relay.Accept, d)) },
	}
	var wg sync.WaitGroup
	for name, call := range calls {
		wg.Go(func() {
			start := time.Now()
			err := call()
			if took := time.Since(start); took > within {
				b.t.Errorf("%s took %s", name, took)
			}
			if relay.CodeOf(err) != relay.StoreUnavailable {
				b.t.Errorf("%s: %v, want store_unavailable", name, err)
			}
		})
	}
	wg.Wait()
}

// A Redis that is gone is refused soon, and when it is back the same store
// serves again: the refused request as it was, and the wake-ups.
func TestOutageAndRecovery(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]struct{ begin, end func(*redistest.Server) error }{
		"killed": {func(s *redistest.Server) error { s.Kill(); return nil }, (*redistest.Server).Restart},
		"paused": {func(s *redistest.Server) error { s.Pause(); return nil }, func(s *redistest.Server) error { s.Resume(); return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := durable(t)
			b := newBench(t, open(t, server.URL()))
			dev := b.device("d")
			api := b.platformOf(dev)
			session := b.connect(dev(), 10)
			b.admit(api(), "held")
			d := b.claim(session, 1)[0]
			first := b.admit(api(), "first")
			c := api()
			if err := outage.begin(server); err != nil {
				t.Fatal(err)
			}
			unavailableSoon(b, dev, api, session, first, d, func() error { return b.err(b.s.Admit(context.Background(), c, request("k"))) })
			if err := outage.end(server); err != nil {
				t.Fatal(err)
			}
			waitUntil(t, func() bool { return b.s.Ping(t.Context()) == nil })

			a, err := b.s.Admit(t.Context(), c, request("k"))
			b.must(a, err)
			if a.Replayed {
				t.Error("the request's own job was answered as another's")
			}
			wantCode(t, b.err(b.s.Admit(t.Context(), c, request("k"))), relay.NonceReplayed)
			again, err := b.s.Admit(t.Context(), api(), request("k"))
			b.must(again, err)
			if again.Job.ID != a.Job.ID || !again.Replayed {
				t.Errorf("a retry got %+v", again)
			}

			waitUntil(t, func() bool { return b.rings(session, api) })
			b.acted(dev(), relay.Complete, d, relay.Succeeded) // what was offered before is still held
		})
	}
}

// rings empties the queue, admits one more job and reports whether the bell of
// that admission comes at once, as with a live subscription.
func (b *bench) rings(s relay.Session, api func() relay.Caller) bool {
	b.t.Helper()
	for {
		offers, err := s.Claim(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		if len(offers) == 0 {
			break
		}
		for _, d := range offers {
			b.must(b.s.Cancel(b.t.Context(), api(), d.JobID))
		}
	}
	drainWake(s)
	b.admit(api(), "ring"+relay.RandomText(8))
	select {
	case <-s.Wake():
		return true
	case <-time.After(300 * time.Millisecond):
		return false
	}
}

// A Redis that answers and cannot serve is an outage as well, and leaves no
// trace: out of memory, or demoted to a replica.
func TestRedisThatRefusesWrites(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]struct{ begin, end []any }{
		"out of memory": {[]any{"config", "set", "maxmemory", "1"}, []any{"config", "set", "maxmemory", "0"}},
		"demoted":       {[]any{"replicaof", "127.0.0.1", "1"}, []any{"replicaof", "no", "one"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			rdb := server.Client(t)
			b := newBench(t, open(t, server.URL()))
			dev := b.device("d")
			api := b.platformOf(dev)
			job := b.admit(api(), "first")
			d := b.claim(b.connect(dev(), 4), 1)[0]
			before := b.traces(rdb)
			if err := rdb.Do(t.Context(), do.begin...).Err(); err != nil {
				t.Fatal(err)
			}
			c := api()
			wantCode(t, b.err(b.s.Admit(t.Context(), c, request("k"))), relay.StoreUnavailable)
			wantCode(t, b.err(b.act(dev(), relay.Accept, d)), relay.StoreUnavailable)
			wantCode(t, b.err(b.s.Cancel(t.Context(), api(), job.ID)), relay.StoreUnavailable)
			if err := rdb.Do(t.Context(), do.end...).Err(); err != nil {
				t.Fatal(err)
			}
			if after := b.traces(rdb); after != before {
				t.Errorf("refused calls went from %+v to %+v", before, after)
			}
			b.must(b.s.Admit(t.Context(), c, request("k")))
			b.acted(dev(), relay.Complete, d, relay.Succeeded)
		})
	}
}

// A wait holds until the job is final, also when the subscription breaks and
// comes back in the middle of it.
func TestWaitOutlivesItsSubscription(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb := server.Client(t)
	b := newBench(t, open(t, server.URL()))
	dev := b.device("d")
	api := b.platformOf(dev)
	job := b.admit(api(), "k")
	d := b.claim(b.connect(dev(), 4), 1)[0]
	got := make(chan relay.Job, 1)
	go func() {
		j, err := b.s.Job(context.Background(), api(), job.ID, 20*time.Second)
		if err != nil {
			t.Error(err)
		}
		got <- j
	}()
	waitUntil(t, func() bool { return watched(b, server.URL(), "k") })
	if n, err := rdb.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Result(); err != nil || n != 1 {
		t.Fatalf("killed %d subscriptions, %v; a replica has one", n, err)
	}
	waitUntil(t, func() bool { return rdb.PubSubNumSub(t.Context(), "lr:bell").Val()["lr:bell"] == 1 })
	select {
	case j := <-got:
		t.Fatalf("the wait ended with the subscription, at %s", j.State)
	case <-time.After(200 * time.Millisecond):
	}
	b.acted(dev(), relay.Complete, d, relay.Succeeded)
	select {
	case j := <-got:
		if j.State != relay.Succeeded {
			t.Errorf("it ended at %s", j.State)
		}
	case <-time.After(5 * time.Second):
		t.Error("the bell did not end the wait")
	}
}

// A record of the audit trail that cannot be written stops nothing.
func TestAuditThatFailsStopsNothing(t *testing.T) {
	onBoth(t, func(b *bench) {
		rdb := client(b.t, b.url)
		b.must(rdb.Del(b.t.Context(), b.key(":e")).Result())
		b.must(rdb.Set(b.t.Context(), b.key(":e"), "not a stream", 0).Result())
		b.must(b.s.CreateLinkCode(b.t.Context(), b.account, "CODE"+b.account, time.Minute))
	})
}

// What only an operator can send wrong is the operator's mistake, not ours.
func TestCursorsThatAreNone(t *testing.T) {
	onBoth(t, func(b *bench) {
		for _, cursor := range []string{"x", "-", "--", "1", "1-", "-1", "1-2-3", "0-0", "+", "(1-1", "1-1 ", "99999999999999999999-0", "1-99999999999999999999"} {
			for _, err := range []error{b.err(b.s.Events(b.t.Context(), b.account, cursor, 10)), b.err(b.s.DeadLetters(b.t.Context(), b.account, cursor, 10))} {
				if relay.CodeOf(err) != relay.ValidationFailed {
					b.t.Errorf("cursor %q: %v, want validation_failed", cursor, err)
				}
			}
		}
		page, err := b.s.Events(b.t.Context(), b.account, "18446744073709551615-18446744073709551615", 10)
		b.must(page, err)
		if len(page.Items) == 0 {
			b.t.Error("the largest id shows nothing")
		}
	})
}

// A dead letter whose idempotency key has made another job stays as it was.
func TestRedriveOfAnotherJobsKeyChangesNothing(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		api := b.platformOf(dev)
		dead := b.deadJob(api)
		rdb := client(b.t, b.url)
		record := b.key(":j:" + relay.JobRef(b.account, dead.IdempotencyKey))
		b.must(rdb.Del(b.t.Context(), record).Result()) // its retention ends
		before, err := b.s.DeadLetters(b.t.Context(), b.account, "", 10)
		b.must(before, err)
		b.must(b.s.Admit(b.t.Context(), api(), request(dead.IdempotencyKey)))
		wantCode(b.t, b.err(b.s.Redrive(b.t.Context(), b.account, dead.ID)), relay.AlreadyExists)
		after, err := b.s.DeadLetters(b.t.Context(), b.account, "", 10)
		b.must(after, err)
		if len(after.Items) != 1 || after.Items[0].DiedAt != before.Items[0].DiedAt {
			b.t.Errorf("letters went from %+v to %+v", before.Items, after.Items)
		}
		b.must(nil, b.s.DropDeadLetter(b.t.Context(), b.account, dead.ID))
	})
}

// Bells that ring while there is no subscription are made up for when it is
// back: sessions look for work, and waits at their jobs.
func TestMissedBellsAreMadeUpFor(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb, p := server.Client(t), newProxy(t, server.URL())
	b := newBench(t, open(t, p.url()))
	dev := b.device("d")
	api := b.platformOf(dev)
	job := b.admit(api(), "k")
	s := b.connect(dev(), 4)
	d := b.claim(s, 1)[0]
	b.claim(s, 0)
	got := make(chan relay.Job, 1)
	go func() {
		j, err := b.s.Job(context.Background(), api(), job.ID, 20*time.Second)
		if err != nil {
			t.Error(err)
		}
		got <- j
	}()
	waitUntil(t, func() bool { return watched(b, server.URL(), "k") })
	drainWake(s)
	p.spoil(never, "lr:bell", -1) // nobody subscribes now
	b.must(rdb.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Result())
	b.acted(dev(), relay.Complete, d, relay.Succeeded)
	b.admit(api(), "another")
	select {
	case <-s.Wake():
		t.Fatal("a bell came without a subscription")
	case <-got:
		t.Fatal("a wait ended without a subscription")
	case <-time.After(100 * time.Millisecond):
	}
	p.heal()
	select {
	case j := <-got:
		if j.State != relay.Succeeded {
			t.Errorf("the wait ended at %s", j.State)
		}
	case <-time.After(5 * time.Second):
		t.Error("the wait goes on")
	}
	b.claimOnWake(s, 1)
}
