package redisstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"linkrelay/internal/redistest"
	"linkrelay/quota"
	"linkrelay/redisstore"
	"linkrelay/relay"
)

// Both servers that every test of this file runs on; accounts keep tests apart.
var servers map[string]string

func TestMain(m *testing.M) {
	os.Exit(redistest.Both(m, func(urls map[string]string) error {
		servers = urls
		return nil
	}))
}

// bench is a store on one server, with an account of its own and a device.
type bench struct {
	t       *testing.T
	s       *redisstore.Store
	url     string // of the server, where a test runs on both
	account string
	nonces  int
	mu      sync.Mutex
}

func options(t testing.TB, url string, change ...func(*redisstore.Options)) redisstore.Options {
	t.Helper()
	ring, err := redisstore.NewKeyring(redisstore.SealKey{ID: "k1", Key: [32]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	o := redisstore.Options{URL: url, Keyring: ring, Plans: quota.BuiltIn(), Lease: time.Minute, Offer: 10 * time.Second,
		MaxAttempts: 3, Embedded: url == servers["embedded"]}
	for _, c := range change {
		c(&o)
	}
	return o
}

func open(t testing.TB, url string, change ...func(*redisstore.Options)) *redisstore.Store {
	t.Helper()
	s, err := redisstore.Open(context.Background(), options(t, url, change...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// onBoth runs a test on the real and on the embedded server.
func onBoth(t *testing.T, test func(b *bench), change ...func(*redisstore.Options)) {
	t.Parallel()
	for name, url := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, open(t, url, change...))
			b.url = url
			test(b)
		})
	}
}

func newBench(t *testing.T, s *redisstore.Store) *bench {
	b := &bench{t: t, s: s, account: relay.NewAccountID()}
	b.must(s.CreateAccount(t.Context(), b.account, relay.AccountChange{Plan: ptr("business")}))
	return b
}

func ptr[T any](v T) *T { return &v }

// must fails the test on an error.
func (b *bench) must(_ any, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, want relay.Code) *relay.Error {
	t.Helper()
	if err == nil || relay.CodeOf(err) != want {
		t.Fatalf("got error %v, want %s", err, want)
	}
	e, _ := errors.AsType[*relay.Error](err)
	return e
}

func (b *bench) limits(o relay.LimitOverrides) {
	b.t.Helper()
	b.must(b.s.ChangeAccount(b.t.Context(), b.account, relay.AccountChange{Overrides: o}))
}

// caller is a request of a key with a fresh nonce.
func (b *bench) caller(keyID, device string) relay.Caller {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nonces++
	return relay.Caller{Account: b.account, KeyID: keyID, SecretID: relay.SecretID(keyID, 1), DeviceID: device, Nonce: fmt.Sprintf("nonce-%d", b.nonces), NonceTTL: time.Minute}
}

// device links a device and returns a maker of its requests.
func (b *bench) device(name string) func() relay.Caller {
	b.t.Helper()
	code := "CODE" + relay.RandomText(12)
	b.must(b.s.CreateLinkCode(b.t.Context(), b.account, code, time.Minute))
	spec := relay.DeviceSpec{ID: relay.NewDeviceID(), KeyID: "lp_device_" + relay.RandomText(16), Secret: "secret", Name: name, Platform: "test"}
	account, err := b.s.Link(b.t.Context(), code, spec)
	if err != nil || account != b.account {
		b.t.Fatalf("link: %q, %v", account, err)
	}
	return func() relay.Caller { return b.caller(spec.KeyID, spec.ID) }
}

// platform makes an API key and returns a maker of its requests.
func (b *bench) platform() func() relay.Caller {
	b.t.Helper()
	return b.platformOf(b.device("keys"))
}

func (b *bench) platformOf(device func() relay.Caller) func() relay.Caller {
	b.t.Helper()
	id := "lp_live_" + relay.RandomText(16)
	b.must(b.s.CreateKey(b.t.Context(), device(), relay.KeySpec{ID: id, Secret: "secret", Name: "k", Environment: relay.Live,
		Schemes: []relay.Scheme{relay.SchemeLinkPeeler}, Scopes: relay.DefaultScopes}))
	return func() relay.Caller { return b.caller(id, "") }
}

func request(key string) *relay.JobRequest {
	return &relay.JobRequest{IdempotencyKey: key, TrackingURL: "https://t.example/" + key, Source: "src", RowID: "row",
		Context: json.RawMessage(`{"a":1}`), Expiry: time.Hour}
}

func (b *bench) admit(c relay.Caller, key string) relay.Job {
	b.t.Helper()
	a, err := b.s.Admit(b.t.Context(), c, request(key))
	if err != nil {
		b.t.Fatal(err)
	}
	return a.Job
}

func (b *bench) connect(c relay.Caller, places int) relay.Session {
	b.t.Helper()
	s, err := b.s.Connect(b.t.Context(), c, places)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(s.Close)
	return s
}

func (b *bench) claim(s relay.Session, want int) []relay.Delivery {
	b.t.Helper()
	d, err := s.Claim(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	if len(d) != want {
		b.t.Fatalf("claimed %d jobs, want %d", len(d), want)
	}
	return d
}

func (b *bench) act(c relay.Caller, verb relay.Verb, d relay.Delivery, more ...func(*relay.Action)) (relay.Job, error) {
	a := relay.Action{Verb: verb, JobID: d.JobID, Lease: d.Lease, Result: json.RawMessage(`{"finalUrl":"https://x.example/"}`), Error: "why"}
	for _, m := range more {
		m(&a)
	}
	return b.s.Act(b.t.Context(), c, a)
}

func (b *bench) acted(c relay.Caller, verb relay.Verb, d relay.Delivery, want relay.State, more ...func(*relay.Action)) relay.Job {
	b.t.Helper()
	j, err := b.act(c, verb, d, more...)
	if err != nil {
		b.t.Fatalf("%s: %v", verb, err)
	}
	if j.State != want {
		b.t.Fatalf("%s: state %s, want %s", verb, j.State, want)
	}
	return j
}

func retryable(a *relay.Action) { a.Retryable, a.Delay = true, ptr(time.Duration(0)) }

func TestWholeLife(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("desk")
		api := b.platformOf(dev)
		session := b.connect(dev(), 4)
		b.claim(session, 0)
		job := b.admit(api(), "k1")
		if job.State != relay.Queued || job.IdempotencyKey != "k1" || job.ExpiresAt.Sub(job.CreatedAt) != time.Hour {
			b.t.Fatalf("admitted %+v", job)
		}
		d := b.claim(session, 1)[0]
		want := relay.Delivery{JobID: job.ID, Lease: d.Lease, Delivery: 1, Attempt: 1, AcceptBy: d.AcceptBy, TrackingURL: "https://t.example/k1",
			Source: "src", RowID: "row", Context: json.RawMessage(`{"a":1}`), ExpiresAt: job.ExpiresAt}
		if diff := cmp.Diff(want, d); diff != "" {
			b.t.Fatal(diff)
		}
		b.acted(dev(), relay.Accept, d, relay.Running)
		b.acted(dev(), relay.Accept, d, relay.Running) // again: the same answer
		b.acted(dev(), relay.Extend, d, relay.Running)
		b.acted(dev(), relay.Complete, d, relay.Succeeded)
		b.acted(dev(), relay.Complete, d, relay.Succeeded)
		got, err := b.s.Job(b.t.Context(), api(), job.ID, 0)
		b.must(got, err)
		if got.State != relay.Succeeded || string(got.Result) != `{"finalUrl":"https://x.example/"}` || got.Attempts != 1 || got.FinishedAt == nil {
			b.t.Fatalf("read %+v", got)
		}
		byKey, err := b.s.JobByKey(b.t.Context(), api(), "k1", 0)
		b.must(byKey, err)
		if diff := cmp.Diff(got, byKey); diff != "" {
			b.t.Fatal(diff)
		}
		q, err := b.s.Quota(b.t.Context(), api())
		b.must(q, err)
		if q.Backlog.Waiting != 0 || q.Backlog.Running != 0 || q.Windows[1].Used != 1 {
			b.t.Fatalf("quota %+v", q)
		}
		dead, err := b.s.Queue(b.t.Context(), b.account)
		b.must(dead, err)
	})
}

func TestIdempotencyAndReplay(t *testing.T) {
	onBoth(t, func(b *bench) {
		api := b.platform()
		c := api()
		job := b.admit(c, "k")
		e := wantCode(b.t, b.err(b.s.Admit(b.t.Context(), c, request("k"))), relay.NonceReplayed)
		if e.JobID != job.ID {
			b.t.Errorf("a replay names job %q, want %q", e.JobID, job.ID)
		}
		wantCode(b.t, b.err(b.s.Admit(b.t.Context(), c, request("other"))), relay.NonceReplayed)
		a, err := b.s.Admit(b.t.Context(), api(), request("k"))
		b.must(a, err)
		if !a.Replayed || a.Job.ID != job.ID {
			b.t.Errorf("a retry got %+v", a)
		}
		other := request("k")
		other.RowID = "another"
		c = api()
		wantCode(b.t, b.err(b.s.Admit(b.t.Context(), c, other)), relay.IdempotencyMismatch)
		b.must(b.s.Admit(b.t.Context(), c, request("k2"))) // the refusal did not burn the nonce
		q, err := b.s.Quota(b.t.Context(), api())
		b.must(q, err)
		if q.Windows[1].Used != 2 {
			b.t.Errorf("%d jobs charged, want 2", q.Windows[1].Used)
		}
	})
}

func (b *bench) err(_ any, err error) error { return err }

func TestRefusalsLeaveNoTrace(t *testing.T) {
	onBoth(t, func(b *bench) {
		api := b.platform()
		b.limits(relay.LimitOverrides{PerMinute: ptr(int64(2)), PerDay: ptr(int64(3))})
		b.admit(api(), "1")
		b.admit(api(), "2")
		c := api()
		e := wantCode(b.t, b.err(b.s.Admit(b.t.Context(), c, request("3"))), relay.RateLimited)
		if e.RetryAfter <= 0 || e.RetryAfter > 31*time.Second || !cmp.Equal(e.Windows, []string{"minute"}) {
			b.t.Errorf("rate_limited says %v %v", e.RetryAfter, e.Windows)
		}
		b.limits(relay.LimitOverrides{PerMinute: ptr(int64(0))})
		b.must(b.s.Admit(b.t.Context(), c, request("3"))) // the identical request, once there is room
		c = api()
		e = wantCode(b.t, b.err(b.s.Admit(b.t.Context(), c, request("4"))), relay.QuotaExceeded)
		if !cmp.Equal(e.Windows, []string{"day"}) {
			b.t.Errorf("windows %v", e.Windows)
		}
		a, err := b.s.Admit(b.t.Context(), api(), request("3")) // a retry needs no quota
		b.must(a, err)
		if !a.Replayed {
			b.t.Error("the retry made a job")
		}
		b.limits(relay.LimitOverrides{PerDay: ptr(int64(0)), MaxBacklog: ptr(int64(3))})
		wantCode(b.t, b.err(b.s.Admit(b.t.Context(), c, request("4"))), relay.BacklogFull)
		b.must(b.s.ChangeAccount(b.t.Context(), b.account, relay.AccountChange{Membership: &relay.Membership{State: relay.MembershipPastDue}}))
		wantCode(b.t, b.err(b.s.Admit(b.t.Context(), c, request("4"))), relay.MembershipInactive)
		past := time.Now().Add(-time.Second)
		b.must(b.s.ChangeAccount(b.t.Context(), b.account, relay.AccountChange{Membership: &relay.Membership{State: relay.MembershipActive, EndsAt: &past}}))
		wantCode(b.t, b.err(b.s.Admit(b.t.Context(), c, request("4"))), relay.MembershipInactive)
		b.must(b.s.ChangeAccount(b.t.Context(), b.account, relay.AccountChange{Membership: &relay.Membership{State: relay.MembershipActive}}))
		b.limits(relay.LimitOverrides{MaxBacklog: ptr(int64(0))})
		b.must(b.s.Admit(b.t.Context(), c, request("4")))
	})
}

func TestRevocationHoldsAtOnce(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		api := b.platformOf(dev)
		c := api()
		b.must(b.s.FreshCredential(b.t.Context(), c.KeyID)) // now cached
		inv, err := b.s.KeyInventory(b.t.Context(), dev())
		b.must(inv, err)
		after, err := b.s.RevokeKey(b.t.Context(), dev(), c.KeyID)
		b.must(after, err)
		if len(inv.Keys) != 1 || len(after.Keys) != 0 || after.Revision != inv.Revision+1 {
			b.t.Errorf("inventory went from %+v to %+v", inv, after)
		}
		wantCode(b.t, b.err(b.s.Admit(b.t.Context(), c, request("k"))), relay.KeyRevoked)
		wantCode(b.t, b.err(b.s.Job(b.t.Context(), c, relay.JobID(relay.JobRef(b.account, "k"), time.Now()), 0)), relay.KeyRevoked)
		wantCode(b.t, b.err(b.s.RevokeKey(b.t.Context(), dev(), c.KeyID)), relay.NotFound)
	})
}

func TestLimitsOfKeysAndDevices(t *testing.T) {
	onBoth(t, func(b *bench) {
		b.limits(relay.LimitOverrides{MaxKeys: ptr(int64(1)), MaxDevices: ptr(int64(1))})
		dev := b.device("d")
		b.platformOf(dev)
		_, err := b.s.CreateKey(b.t.Context(), dev(), relay.KeySpec{ID: "lp_live_x" + relay.RandomText(9), Secret: "s"})
		wantCode(b.t, err, relay.LimitReached)
		code := "CODE" + relay.RandomText(12)
		b.must(b.s.CreateLinkCode(b.t.Context(), b.account, code, time.Minute))
		second := relay.DeviceSpec{ID: relay.NewDeviceID(), KeyID: "lp_device_" + relay.RandomText(16), Secret: "s"}
		wantCode(b.t, b.err(b.s.Link(b.t.Context(), code, second)), relay.LimitReached)
		b.limits(relay.LimitOverrides{MaxDevices: ptr(int64(2))})
		b.must(b.s.Link(b.t.Context(), code, second)) // the refusal left the code good
		third := second
		third.ID = relay.NewDeviceID()
		wantCode(b.t, b.err(b.s.Link(b.t.Context(), code, third)), relay.LinkCodeInvalid)
		devices, err := b.s.Devices(b.t.Context(), b.account)
		b.must(devices, err)
		if len(devices) != 2 {
			b.t.Errorf("%d devices, want 2", len(devices))
		}
	})
}

func TestCancelRefundsOnce(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		api := b.platformOf(dev)
		b.limits(relay.LimitOverrides{PerMinute: ptr(int64(10)), PerDay: ptr(int64(10)), PerMonth: ptr(int64(10))})
		used := func() (out [3]int64) {
			q, err := b.s.Quota(b.t.Context(), api())
			b.must(q, err)
			for i, w := range q.Windows {
				out[i] = w.Used
			}
			return out
		}
		waiting, running := b.admit(api(), "waiting"), b.admit(api(), "running")
		for range 3 {
			j, err := b.s.Cancel(b.t.Context(), api(), waiting.ID)
			b.must(j, err)
			if j.State != relay.Cancelled || j.FinishedAt == nil {
				b.t.Fatalf("cancelled %+v", j)
			}
		}
		if got := used(); got != [3]int64{1, 1, 1} {
			b.t.Errorf("used %v after one refund, want 1 each", got)
		}
		s := b.connect(dev(), 4)
		d := b.claim(s, 1)[0] // the cancelled job is not offered
		b.acted(dev(), relay.Accept, d, relay.Running)
		b.must(b.s.Cancel(b.t.Context(), api(), running.ID))
		if got := used(); got != [3]int64{1, 1, 1} {
			b.t.Errorf("used %v: a running job gives nothing back", got)
		}
		for told := false; !told; {
			select {
			case sig := <-s.Signals():
				told = sig == relay.Signal{Kind: relay.FrameCancel, JobID: running.ID} // the key's own bell may come before
			case <-time.After(5 * time.Second):
				b.t.Fatal("the device was not told")
			}
		}
		e := wantCode(b.t, b.err(b.act(dev(), relay.Complete, d)), relay.JobFinal)
		if e.JobID != running.ID || !strings.Contains(e.Detail, "cancelled") {
			b.t.Errorf("late result: %+v", e)
		}
		q, err := b.s.Quota(b.t.Context(), api())
		b.must(q, err)
		if q.Backlog.Waiting != 0 || q.Backlog.Running != 0 {
			b.t.Errorf("backlog %+v", q.Backlog)
		}
	})
}

// A wait that has ended, because the caller left or the replica drains, is
// answered with the job as it is: not as an outage.
func TestWaitThatEndedIsNoOutage(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		api := b.platformOf(dev)
		job := b.admit(api(), "k")
		ended, end := context.WithCancel(b.t.Context())
		end()
		got, err := b.s.Job(ended, api(), job.ID, time.Minute)
		if b.must(got, err); got.ID != job.ID || got.State != relay.Queued {
			b.t.Errorf("%+v", got)
		}
	})
}

// The audit trail says what an account became in the words of the calls that
// change it.
func TestEventsOfAnAccountAreReadable(t *testing.T) {
	onBoth(t, func(b *bench) {
		end := time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)
		b.must(b.s.ChangeAccount(b.t.Context(), b.account, relay.AccountChange{
			Membership: &relay.Membership{State: relay.MembershipPastDue, EndsAt: &end},
			Overrides:  relay.LimitOverrides{PerDay: ptr(int64(5)), MaxKeys: ptr(int64(0))},
		}))
		page, err := b.s.Events(b.t.Context(), b.account, "", 10)
		b.must(page, err)
		var got []map[string]string // the newest first
		for _, e := range page.Items {
			got = append(got, e.About)
		}
		want := []map[string]string{
			{"membership": "past_due", "endsAt": "2030-01-31T12:00:00Z", "plan": "business", "perDay": "5", "maxKeys": "0"},
			{"membership": "active", "plan": "business"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			b.t.Error(diff)
		}
	})
}

// Submitting and cancelling gives back only so much on a day: what stays of
// cancelled jobs is bounded as well.
func TestRefundsAreBounded(t *testing.T) {
	onBoth(t, func(b *bench) {
		api := b.platform()
		b.limits(relay.LimitOverrides{PerMinute: ptr(int64(0)), PerDay: ptr(int64(2))})
		for i := range 102 { // a hundred are given back, two are not
			b.must(b.s.Cancel(b.t.Context(), api(), b.admit(api(), fmt.Sprint("k", i)).ID))
		}
		wantCode(b.t, b.err(b.s.Admit(b.t.Context(), api(), request("one more"))), relay.QuotaExceeded)
	})
}
