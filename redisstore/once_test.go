package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"linkrelay/redisstore"
	"linkrelay/relay"
)

// once is the request with a signature that counts once.
func once(c relay.Caller, signed string) relay.Caller {
	c.Once = signed
	return c
}

// anew is the same request under another nonce.
func (b *bench) anew(c relay.Caller) relay.Caller {
	again := b.caller(c.KeyID, c.DeviceID)
	again.Once = c.Once
	return again
}

// wantReplayed checks that a request is refused because of its signature.
func wantReplayed(t testing.TB, err error) {
	t.Helper()
	e := wantCode(t, err, relay.NonceReplayed)
	if !strings.Contains(e.Detail, "signature") || !strings.Contains(e.Detail, "new timestamp") {
		t.Fatalf("detail %q", e.Detail)
	}
}

// A signature that counts once does so for every call, under whatever nonce.
func TestSignatureCountsOnce(t *testing.T) {
	onBoth(t, func(b *bench) {
		ctx := b.t.Context()
		dev := b.device("d")
		api := b.platformOf(dev)
		job := b.admit(api(), "known")
		n := 0
		for name, call := range map[string]func(c relay.Caller) error{
			"admit": func(c relay.Caller) error {
				n++
				return b.err(b.s.Admit(ctx, c, request(fmt.Sprint("admit", n))))
			},
			"job":    func(c relay.Caller) error { return b.err(b.s.Job(ctx, c, job.ID, 0)) },
			"by key": func(c relay.Caller) error { return b.err(b.s.JobByKey(ctx, c, "known", 0)) },
			"quota":  func(c relay.Caller) error { return b.err(b.s.Quota(ctx, c)) },
			"cancel": func(c relay.Caller) error { return b.err(b.s.Cancel(ctx, c, job.ID)) },
			"keys":   func(c relay.Caller) error { return b.err(b.s.KeyInventory(ctx, c)) },
			"revoke": func(c relay.Caller) error {
				c.DeviceID = dev().DeviceID
				return b.err(b.s.RevokeKey(ctx, c, b.platformOf(dev)().KeyID))
			},
		} {
			c := once(api(), "signed "+name)
			b.must(nil, call(c))
			if e := wantCode(b.t, call(c), relay.NonceReplayed); !strings.Contains(e.Detail, "nonce") {
				b.t.Errorf("%s: the identical request is told %q", name, e.Detail)
			}
			again := b.anew(c)
			wantReplayed(b.t, call(again))
			again.Once = "signed anew for " + name
			b.must(nil, call(again)) // the refusal did not burn the nonce
		}
		other := b.platformOf(dev) // the same text under another key is another signature
		b.must(b.s.Quota(ctx, once(other(), "signed quota")))
		rdb := client(b.t, b.url)
		for _, name := range rdb.Keys(ctx, b.key(":n:*")).Val() {
			if ttl := rdb.PTTL(ctx, name).Val(); ttl <= 0 || ttl > time.Minute {
				b.t.Errorf("%s is remembered for %s", name, ttl)
			}
		}
	})
}

// A delivery that is acted on with such a signature, too.
func TestSignatureOfAnActCountsOnce(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		b.admit(b.platformOf(dev)(), "k")
		d := b.claim(b.connect(dev(), 4), 1)[0]
		c := once(dev(), "signed")
		b.acted(c, relay.Accept, d, relay.Running)
		wantReplayed(b.t, b.err(b.act(b.anew(c), relay.Accept, d)))
		b.acted(once(dev(), "again"), relay.Complete, d, relay.Succeeded)
	})
}

// Where signatures count once, an idempotency key makes a job and answers
// nothing after that: a request is refused with the job's id, whether or not it
// asks for the same, and that burns neither nonce nor signature.
func TestIdempotencyKeyIsRefusedWhereSignaturesCountOnce(t *testing.T) {
	onBoth(t, func(b *bench) {
		ctx, api := b.t.Context(), b.platform()
		job := b.admit(api(), "k")
		for _, row := range []string{"row", "another row"} {
			for _, full := range []bool{false, true} {
				b.limits(relay.LimitOverrides{MaxBacklog: ptr(map[bool]int64{true: 1}[full])})
				r := request("k")
				r.RowID = row
				c := once(api(), fmt.Sprint(row, full))
				for range 2 { // the second time for the same reason
					e := wantCode(b.t, b.err(b.s.Admit(ctx, c, r)), relay.IdempotencyKeyReused)
					if e.JobID != job.ID {
						b.t.Errorf("it names %q", e.JobID)
					}
				}
				b.must(b.s.Quota(ctx, c))
			}
		}
		b.limits(relay.LimitOverrides{MaxBacklog: ptr(int64(0))})
		c := once(api(), "new")
		b.must(b.s.Admit(ctx, c, request("k2")))
		for _, again := range []relay.Caller{c, b.anew(c)} { // replays come before idempotency
			for _, key := range []string{"k", "k2", "k3"} {
				e := wantCode(b.t, b.err(b.s.Admit(ctx, again, request(key))), relay.NonceReplayed)
				if known := key != "k3"; known != (e.JobID != "") {
					b.t.Errorf("%s names %q", key, e.JobID)
				}
			}
		}
		a, err := b.s.Admit(ctx, api(), request("k2")) // where they do not, it is a retry
		b.must(a, err)
		if !a.Replayed {
			b.t.Error("the retry made a job")
		}
	})
}

// A request refused for any other reason burns neither its nonce nor its signature.
func TestRefusalsBurnNoSignature(t *testing.T) {
	onBoth(t, func(b *bench) {
		ctx, api := b.t.Context(), b.platform()
		b.limits(relay.LimitOverrides{PerMinute: ptr(int64(1))}) // the minute is full for a minute
		b.admit(api(), "first")
		c := once(api(), "signed")
		refuse := func(code relay.Code, o relay.LimitOverrides) {
			b.t.Helper()
			b.limits(o)
			wantCode(b.t, b.err(b.s.Admit(ctx, c, request("k"))), code)
		}
		refuse(relay.RateLimited, relay.LimitOverrides{})
		refuse(relay.QuotaExceeded, relay.LimitOverrides{PerMinute: ptr(int64(0)), PerDay: ptr(int64(1))})
		refuse(relay.BacklogFull, relay.LimitOverrides{PerDay: ptr(int64(0)), MaxBacklog: ptr(int64(1))})
		b.limits(relay.LimitOverrides{MaxBacklog: ptr(int64(0))})
		b.must(b.s.ChangeAccount(ctx, b.account, relay.AccountChange{Membership: &relay.Membership{State: relay.MembershipPastDue}}))
		wantCode(b.t, b.err(b.s.Admit(ctx, c, request("k"))), relay.MembershipInactive)
		b.must(b.s.ChangeAccount(ctx, b.account, relay.AccountChange{Membership: &relay.Membership{State: relay.MembershipActive}}))
		wantCode(b.t, b.err(b.s.Job(ctx, c, relay.JobID(relay.JobRef(b.account, "none"), time.Now()), 0)), relay.NotFound)
		wantCode(b.t, b.err(b.s.Cancel(ctx, c, relay.JobID(relay.JobRef(b.account, "none"), time.Now()))), relay.NotFound)
		used := api()
		b.must(b.s.Quota(ctx, used))
		used.Once = "signed"
		wantCode(b.t, b.err(b.s.Quota(ctx, used)), relay.NonceReplayed) // for its nonce
		b.must(b.s.Admit(ctx, c, request("k")))
		wantReplayed(b.t, b.err(b.s.Admit(ctx, b.anew(c), request("k"))))
	})
}

// onePasses lets a crowd loose with one signature: one passes, or none whose
// caller learned of it when the machine is too busy to answer all in time.
func (b *bench) onePasses(crowd int, call func(i int) error) {
	b.t.Helper()
	var passed, unanswered atomic.Int32
	together(b.crowd(crowd), func(i int) {
		err := call(i)
		switch code := relay.CodeOf(err); {
		case err == nil:
			passed.Add(1)
		case code == relay.StoreUnavailable:
			unanswered.Add(1)
		case code != relay.NonceReplayed:
			b.t.Error(err)
		}
	})
	if n := passed.Load(); n > 1 || n == 0 && unanswered.Load() == 0 {
		b.t.Errorf("%d passed, %d were not answered", n, unanswered.Load())
	}
}

// One signature, captured and sent again and again under fresh nonces over two
// replicas: one request passes, whatever idempotency key each has.
func TestOneSignaturePassesOnce(t *testing.T) {
	onBoth(t, func(b *bench) {
		stores, c := twoReplicas(b), once(b.platform()(), "captured")
		b.onePasses(300, func(i int) error {
			return b.err(stores[i%2].Admit(context.Background(), b.anew(c), request(fmt.Sprint("k", i%7))))
		})
		if got := b.traces(client(b.t, b.url)); got != oneJob {
			b.t.Errorf("they left %+v", got)
		}
	})
}

// The same for what only reads.
func TestOneSignatureReadsOnce(t *testing.T) {
	onBoth(t, func(b *bench) {
		stores, c := twoReplicas(b), once(b.platform()(), "captured")
		b.onePasses(300, func(i int) error { return b.err(stores[i%2].Quota(context.Background(), b.anew(c))) })
	})
}

// One idempotency key, signed anew each time: one request makes the job, and
// every other is told of it.
func TestOneJobWhereSignaturesCountOnce(t *testing.T) {
	onBoth(t, func(b *bench) {
		stores, api := twoReplicas(b), b.platform()
		var admitted atomic.Int32
		ref := relay.JobRef(b.account, "k")
		together(b.crowd(100), func(i int) {
			a, err := stores[i%2].Admit(context.Background(), once(api(), fmt.Sprint(i)), request("k"))
			if err == nil {
				admitted.Add(1)
				if a.Replayed {
					b.t.Error("answered as a retry")
				}
				return
			}
			e, ok := errors.AsType[*relay.Error](err)
			if !ok || e.Code != relay.IdempotencyKeyReused {
				b.t.Error(err)
				return
			}
			if got, _, ok := relay.ParseJobID(e.JobID); !ok || got != ref {
				b.t.Errorf("it names %q", e.JobID)
			}
		})
		if got := b.traces(client(b.t, b.url)); admitted.Load() != 1 || got != oneJob {
			b.t.Errorf("%d passed, and left %+v", admitted.Load(), got)
		}
	})
}

// Lost replies do not turn a request against itself: it is answered with its own
// job, once, and its signature serves no other.
func TestLostRepliesWhereSignaturesCountOnce(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{"cut": cut, "never arrived": never} {
		for _, times := range []int{1, 2} { // the second try answers, or the identical request sent again
			t.Run(fmt.Sprint(name, times), func(t *testing.T) {
				t.Parallel()
				b := newSpoilt(t)
				api := b.platform()
				c := once(api(), "signed")
				b.p.spoil(f, redisstore.ScriptSHA("admit"), times)
				a, err := b.s.Admit(t.Context(), c, request("k"))
				if times == 2 {
					wantCode(t, err, relay.StoreUnavailable)
					other := c
					other.Once = "another signature under the nonce"
					if f == cut {
						wantCode(t, b.err(b.s.Admit(t.Context(), other, request("k"))), relay.NonceReplayed)
						wantReplayed(t, b.err(b.s.Admit(t.Context(), b.anew(c), request("k"))))
					}
					a, err = b.s.Admit(t.Context(), c, request("k"))
				}
				b.must(a, err)
				if a.Replayed || a.Job.State != relay.Queued {
					t.Errorf("admitted %+v", a)
				}
				if got := b.traces(b.rdb); got != oneJob {
					t.Errorf("it left %+v", got)
				}
				wantCode(t, b.err(b.s.Admit(t.Context(), c, request("k"))), relay.NonceReplayed)
				wantReplayed(t, b.err(b.s.Admit(t.Context(), b.anew(c), request("k"))))

				read := once(api(), "read")
				b.p.spoil(f, redisstore.ScriptSHA("read"), times)
				_, err = b.s.Quota(t.Context(), read)
				if times == 2 {
					wantCode(t, err, relay.StoreUnavailable)
					_, err = b.s.Quota(t.Context(), read)
				}
				b.must(nil, err)
				wantReplayed(t, b.err(b.s.Quota(t.Context(), b.anew(read))))
			})
		}
	}
}
