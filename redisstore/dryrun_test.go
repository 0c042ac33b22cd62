package redisstore_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"linkrelay/internal/redistest"
	"linkrelay/relay"
)

// contents are all keys of a server that belong to a bench's account, with what
// they hold, and whether they end.
func (b *bench) contents(rdb *redis.Client) map[string]string {
	b.t.Helper()
	all := map[string]string{}
	names, err := rdb.Keys(b.t.Context(), b.key("*")).Result()
	b.must(names, err)
	for _, name := range names {
		text, err := rdb.Dump(b.t.Context(), name).Result()
		if err != nil { // the embedded server dumps texts only
			text = rdb.Type(b.t.Context(), name).Val()
		}
		if rdb.PTTL(b.t.Context(), name).Val() > 0 {
			text += " ends"
		}
		all[name] = text
	}
	return all
}

// tried checks that trying a request out is answered as the admission is, and
// writes nothing; then it is admitted.
func (b *bench) tried(rdb *redis.Client, c relay.Caller, r *relay.JobRequest, want relay.Code) {
	b.t.Helper()
	before := b.contents(rdb)
	var checked relay.Admission
	var err error
	for range 2 {
		checked, err = b.s.Check(b.t.Context(), c, r)
	}
	if after := b.contents(rdb); !maps.Equal(before, after) {
		b.t.Errorf("it wrote: %s", cmp.Diff(before, after))
	}
	a, wanted := b.s.Admit(b.t.Context(), c, r)
	if want == "" {
		b.must(nil, err)
		b.must(nil, wanted)
	} else {
		e, would := wantCode(b.t, err, want), wantCode(b.t, wanted, want)
		if e.JobID != would.JobID || e.Detail != would.Detail || !cmp.Equal(e.Windows, would.Windows) || e.RetryAfter.Round(time.Minute) != would.RetryAfter.Round(time.Minute) {
			b.t.Errorf("tried %+v, admitted %+v", e, would)
		}
	}
	if checked.Replayed != a.Replayed || checked.Replayed && checked.Job.ID != a.Job.ID || !checked.Replayed && checked.Job.ID != "" {
		b.t.Errorf("tried %+v, admitted %+v", checked, a)
	}
	if len(checked.Windows) != len(a.Windows) {
		b.t.Errorf("windows %+v, then %+v", checked.Windows, a.Windows)
	}
}

// Trying a request out decides what admitting it would, in the same order, and
// writes nothing: the request itself may follow.
func TestCheckDecidesAndWritesNothing(t *testing.T) {
	onBoth(t, func(b *bench) {
		rdb := client(b.t, b.url)
		dev := b.device("d")
		api := b.platformOf(dev)
		b.limits(relay.LimitOverrides{PerMinute: ptr(int64(0)), PerDay: ptr(int64(100)), PerMonth: ptr(int64(1000))})
		c := api()
		b.tried(rdb, c, request("k"), "")
		b.tried(rdb, c, request("k"), relay.NonceReplayed)
		b.tried(rdb, c, request("other"), relay.NonceReplayed)
		b.tried(rdb, api(), request("k"), "") // a retry
		mismatch := request("k")
		mismatch.RowID = "another"
		b.tried(rdb, api(), mismatch, relay.IdempotencyMismatch)

		signed := once(api(), "signed")
		b.tried(rdb, signed, request("k"), relay.IdempotencyKeyReused)
		b.tried(rdb, signed, request("k2"), "")
		b.tried(rdb, b.anew(signed), request("k3"), relay.NonceReplayed)

		b.limits(relay.LimitOverrides{PerDay: ptr(int64(2))})
		b.tried(rdb, api(), request("k4"), relay.QuotaExceeded)
		b.tried(rdb, api(), request("k"), "") // a retry needs no quota
		b.limits(relay.LimitOverrides{PerDay: ptr(int64(0)), PerMinute: ptr(int64(1))})
		b.tried(rdb, api(), request("k4"), "")
		b.tried(rdb, api(), request("k5"), relay.RateLimited)
		b.limits(relay.LimitOverrides{PerMinute: ptr(int64(0)), MaxBacklog: ptr(int64(2))})
		b.tried(rdb, api(), request("k5"), relay.BacklogFull)
		b.must(b.s.ChangeAccount(b.t.Context(), b.account, relay.AccountChange{Membership: &relay.Membership{State: relay.MembershipPastDue}}))
		b.tried(rdb, api(), request("k5"), relay.MembershipInactive)
		b.must(b.s.ChangeAccount(b.t.Context(), b.account, relay.AccountChange{Plan: ptr("free"), Membership: &relay.Membership{State: relay.MembershipActive}}))
		b.rotate(dev, c.KeyID, "new", 0)
		b.tried(rdb, api(), request("k5"), relay.KeyExpired)
		b.must(b.s.RevokeKey(b.t.Context(), dev(), c.KeyID))
		b.tried(rdb, api(), request("k5"), relay.KeyRevoked)
	})
}

// The whole of a real server is the same before and after.
func TestCheckLeavesTheServerAsItWas(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--enable-debug-command", "local")
	rdb := server.Client(t)
	b := newBench(t, open(t, server.URL()))
	api := b.platform()
	b.admit(api(), "known")
	digest := func() any {
		d, err := rdb.Do(t.Context(), "debug", "digest").Result()
		b.must(d, err)
		return d
	}
	c := api()
	before := digest()
	b.must(b.s.Check(t.Context(), c, request("k")))
	b.must(b.s.Check(t.Context(), once(c, "signed"), request("k")))
	b.must(b.s.Check(t.Context(), c, request("known")))
	if after := digest(); after != before {
		t.Errorf("the server went from %v to %v", before, after)
	}
	b.must(b.s.Admit(t.Context(), c, request("k")))
	if digest() == before {
		t.Error("the digest does not tell an admission")
	}
}

// A backlog that is full of what has expired is not full, and one that only
// looks so is.
func TestCheckSeesThroughAStaleBacklog(t *testing.T) {
	onBoth(t, func(b *bench) {
		rdb := client(b.t, b.url)
		dev := b.device("d")
		api := b.platformOf(dev)
		b.limits(relay.LimitOverrides{MaxBacklog: ptr(int64(2))})
		lasting := request("lasting")
		lasting.Expiry = relay.DefaultExpiry
		b.must(b.s.Admit(b.t.Context(), api(), lasting))
		b.admit(api(), "brief")
		b.tried(rdb, api(), request("k"), relay.BacklogFull)
		b.expires(rdb, "brief")
		b.must(b.s.Check(b.t.Context(), api(), request("k")))
		b.limits(relay.LimitOverrides{MaxBacklog: ptr(int64(1))})
		b.tried(rdb, api(), request("k"), relay.BacklogFull) // that one place is not enough
		b.limits(relay.LimitOverrides{MaxBacklog: ptr(int64(2))})
		b.tried(rdb, api(), request("k"), "")

		b.retentionEnds(rdb) // the records are gone, their entries old
		b.entriesAge(rdb)
		b.tried(rdb, api(), request("after"), "")
	})
	t.Run("lapsed offers wait as well", func(t *testing.T) {
		onBoth(t, func(b *bench) {
			api := b.platform()
			b.limits(relay.LimitOverrides{MaxBacklog: ptr(int64(1))})
			b.admit(api(), "k")
			d := b.claim(b.connect(b.device("d")(), 1), 1)[0]
			waitUntil(b.t, func() bool { return time.Now().After(d.AcceptBy.Add(20 * time.Millisecond)) })
			b.tried(client(b.t, b.url), api(), request("k2"), relay.BacklogFull)
		}, quick)
	})
}

// A Redis that is away is an outage for this call as well.
func TestCheckDuringAnOutage(t *testing.T) {
	t.Parallel()
	server := durable(t)
	b := newBench(t, open(t, server.URL()))
	c := b.platform()()
	server.Pause()
	start := time.Now()
	wantCode(t, b.err(b.s.Check(context.Background(), c, request("k"))), relay.StoreUnavailable)
	if took := time.Since(start); took > within {
		t.Errorf("the refusal took %s", took)
	}
	server.Resume()
	waitUntil(t, func() bool { return b.s.Ping(t.Context()) == nil })
	b.must(b.s.Check(t.Context(), c, request("k")))
	b.must(b.s.Admit(t.Context(), c, request("k")))
}
