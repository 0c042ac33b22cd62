package redisstore_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"linkrelay/internal/redistest"
	"linkrelay/redisstore"
	"linkrelay/relay"
)

// within is CONTRACT §5: Redis down is 503 within 2 s, never a hang.
const within = 2 * time.Second

// spoilt is a bench whose store reaches the real server through a proxy, with
// a client of its own that does not.
type spoilt struct {
	*bench
	p   *proxy
	rdb *redis.Client
}

func newSpoilt(t *testing.T) spoilt {
	t.Helper()
	p := newProxy(t, servers["redis"])
	return spoilt{newBench(t, open(t, p.url())), p, client(t, servers["redis"])}
}

func client(t testing.TB, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// key is the name of something of the bench's account; a test pins the names.
func (b *bench) key(suffix string) string { return "lr:{" + b.account + "}" + suffix }

// traces are what admissions leave behind, as Redis holds it.
type traces struct {
	entries, open, events int64
	charged               string // the day's count
	waiting               string
}

func (b *bench) traces(rdb *redis.Client) traces {
	b.t.Helper()
	ctx := context.Background()
	var tr traces
	var err error
	if tr.entries, err = rdb.XLen(ctx, b.key(":s")).Result(); err != nil {
		b.t.Fatal(err)
	}
	jobs, err := rdb.Keys(ctx, b.key(":j:*")).Result()
	b.must(jobs, err)
	tr.open = int64(len(jobs))
	events, err := rdb.XRange(ctx, b.key(":e"), "-", "+").Result()
	b.must(events, err)
	for _, e := range events {
		if e.Values["k"] == "job.queued" {
			tr.events++
		}
	}
	f, err := rdb.HMGet(ctx, b.key(""), "c", "q").Result()
	b.must(f, err)
	if counters := strings.Fields(fmt.Sprint(f[0])); len(counters) == 6 {
		tr.charged = counters[2]
	}
	tr.waiting = fmt.Sprint(f[1])
	return tr
}

var oneJob = traces{entries: 1, open: 1, events: 1, charged: "1", waiting: "1"}

func TestLostReplyOfAnAdmission(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{"cut": cut, "hang": hang, "never arrived": never} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newSpoilt(t)
			api := b.platform()
			c := api()
			b.p.spoil(f, redisstore.ScriptSHA("admit"), 1)
			a, err := b.s.Admit(t.Context(), c, request("k"))
			b.must(a, err)
			if a.Replayed || a.Job.State != relay.Queued || a.Job.IdempotencyKey != "k" || a.Job.TrackingURL == "" {
				t.Errorf("admitted %+v", a)
			}
			if got := b.traces(b.rdb); got != oneJob {
				t.Errorf("it left %+v, want %+v", got, oneJob)
			}
			stored, err := b.s.JobByKey(t.Context(), api(), "k", 0)
			b.must(stored, err)
			if stored.ID != a.Job.ID || !stored.CreatedAt.Equal(a.Job.CreatedAt) || !stored.ExpiresAt.Equal(a.Job.ExpiresAt) {
				t.Errorf("answered %+v, stored %+v", a.Job, stored)
			}
			e := wantCode(t, b.err(b.s.Admit(t.Context(), c, request("k"))), relay.NonceReplayed)
			if e.JobID != a.Job.ID {
				t.Errorf("the replay names %q", e.JobID)
			}
		})
	}
}

func TestAllRepliesOfAnAdmissionLost(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{"cut": cut, "hang": hang, "never arrived": never} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newSpoilt(t)
			api := b.platform()
			c := api()
			b.p.spoil(f, redisstore.ScriptSHA("admit"), -1)
			for range 2 { // the second time, too
				start := time.Now()
				wantCode(t, b.err(b.s.Admit(t.Context(), c, request("k"))), relay.StoreUnavailable)
				if took := time.Since(start); took > within {
					t.Errorf("the refusal took %s", took)
				}
			}
			b.p.heal()
			a, err := b.s.Admit(t.Context(), c, request("k")) // the identical request
			b.must(a, err)
			if a.Replayed {
				t.Error("the request's own job was answered as another's")
			}
			if got := b.traces(b.rdb); got != oneJob {
				t.Errorf("it left %+v, want %+v", got, oneJob)
			}
			e := wantCode(t, b.err(b.s.Admit(t.Context(), c, request("k"))), relay.NonceReplayed)
			if e.JobID != a.Job.ID {
				t.Errorf("the third request is told %q", e.JobID)
			}
		})
	}
}

// The reply of a retry is lost: it is still answered as the retry it is, also
// while there is no room for a new job.
func TestLostReplyOfARetry(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]relay.LimitOverrides{"with room": {}, "without room": {PerDay: ptr(int64(1))}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newSpoilt(t)
			api := b.platform()
			job := b.admit(api(), "k")
			b.limits(limits)
			b.must(b.s.Admit(t.Context(), api(), request("k"))) // the changed account is seen
			for _, times := range []int{1, 2} {                 // the second try answers, or the identical request sent again
				c := api()
				b.p.spoil(cut, redisstore.ScriptSHA("admit"), times)
				a, err := b.s.Admit(t.Context(), c, request("k"))
				if times == 2 {
					wantCode(t, err, relay.StoreUnavailable)
					a, err = b.s.Admit(t.Context(), c, request("k"))
				}
				b.must(a, err)
				if !a.Replayed || a.Job.ID != job.ID {
					t.Errorf("after %d lost replies a retry got %+v", times, a)
				}
				wantCode(t, b.err(b.s.Admit(t.Context(), c, request("k"))), relay.NonceReplayed)
			}
			if got := b.traces(b.rdb); got != oneJob {
				t.Errorf("it left %+v", got)
			}
		})
	}
}

// Another replica does not know whose run it was: it refuses, and names the job.
func TestLostAdmissionOnAnotherReplica(t *testing.T) {
	t.Parallel()
	b := newSpoilt(t)
	api := b.platform()
	c := api()
	b.p.spoil(hang, redisstore.ScriptSHA("admit"), -1)
	wantCode(t, b.err(b.s.Admit(t.Context(), c, request("k"))), relay.StoreUnavailable)
	other := open(t, servers["redis"])
	e := wantCode(t, b.err(other.Admit(t.Context(), c, request("k"))), relay.NonceReplayed)
	a, err := other.Admit(t.Context(), api(), request("k")) // what the refusal asks for: a fresh nonce
	b.must(a, err)
	if !a.Replayed || a.Job.ID != e.JobID {
		t.Errorf("got %+v, the refusal named %q", a, e.JobID)
	}
	if got := b.traces(b.rdb); got != oneJob {
		t.Errorf("it left %+v", got)
	}
}

// A lost nonce continues its own request only: whoever sends another request
// under it, or the same one twice at once, does not get a second job.
func TestLostNonceServesNoOtherRequest(t *testing.T) {
	t.Parallel()
	b := newSpoilt(t)
	c := b.platform()()
	b.p.spoil(cut, redisstore.ScriptSHA("admit"), 2)
	wantCode(t, b.err(b.s.Admit(t.Context(), c, request("k"))), relay.StoreUnavailable)
	other := request("k")
	other.RowID = "another"
	wantCode(t, b.err(b.s.Admit(t.Context(), c, other)), relay.IdempotencyMismatch)
	if got := b.traces(b.rdb); got != oneJob {
		t.Errorf("it left %+v", got)
	}
}

// A script that is not there is loaded also when it is the second try that
// finds out: a server restarted, or a replica took over, between the two.
func TestScriptsGoneBetweenTwoTries(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := newProxy(t, server.URL())
	b := newBench(t, open(t, p.url()))
	c := b.platform()()
	p.after(func() { _ = server.Client(t).ScriptFlush(context.Background()).Err() })
	p.spoil(cut, redisstore.ScriptSHA("admit"), 1)
	b.must(b.s.Admit(t.Context(), c, request("k")))
}

// Every other script too has one effect, however often its reply is lost once.
func TestLostRepliesHaveNoSecondEffect(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{"cut": cut, "never arrived": never} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newSpoilt(t)
			dev := b.device("d")
			api := b.platformOf(dev)
			lose := func(script string) { b.p.spoil(f, redisstore.ScriptSHA(script), 1) }
			s := b.connect(dev(), 10)

			completed := b.admit(api(), "completed")
			d := b.claim(s, 1)[0]
			lose("act")
			b.acted(dev(), relay.Accept, d, relay.Running)
			b.sees(api, completed.ID, relay.Running, 1)
			lose("act")
			b.acted(dev(), relay.Extend, d, relay.Running)
			lose("act")
			b.acted(dev(), relay.Complete, d, relay.Succeeded)
			b.sees(api, completed.ID, relay.Succeeded, 1)

			retried := b.admit(api(), "retried")
			d = b.claim(s, 1)[0]
			lose("act")
			b.acted(dev(), relay.Fail, d, relay.Queued, retryable)
			b.sees(api, retried.ID, relay.Queued, 1)
			d = b.claim(s, 1)[0]
			b.acted(dev(), relay.Accept, d, relay.Running)
			lose("act")
			b.acted(dev(), relay.Release, d, relay.Queued)
			b.sees(api, retried.ID, relay.Queued, 1) // the release gave its attempt back once
			d = b.claim(s, 1)[0]
			lose("act")
			b.acted(dev(), relay.Fail, d, relay.Dead)
			if n := b.rdb.XLen(t.Context(), b.key(":x")).Val(); n != 1 {
				t.Errorf("%d dead letters of one job", n)
			}

			cancelled := b.admit(api(), "cancelled")
			lose("cancel")
			b.must(b.s.Cancel(t.Context(), api(), cancelled.ID))
			if got, want := b.traces(b.rdb), (traces{entries: 0, open: 3, events: 3, charged: "2", waiting: "0"}); got != want {
				t.Errorf("after one refund %+v, want %+v", got, want)
			}

			lose("key")
			second := b.platformOf(dev)
			inv, err := b.s.KeyInventory(t.Context(), dev())
			b.must(inv, err)
			lose("key")
			after, err := b.s.RevokeKey(t.Context(), dev(), second().KeyID)
			b.must(after, err)
			if len(inv.Keys) != 2 || len(after.Keys) != 1 || after.Revision != inv.Revision+1 {
				t.Errorf("inventory went from %+v to %+v", inv, after)
			}
			lose("link")
			b.device("second")
			devices, err := b.s.Devices(t.Context(), b.account)
			b.must(devices, err)
			if len(devices) != 2 {
				t.Errorf("%d devices, want 2", len(devices))
			}
			lose("read")
			q, err := b.s.Quota(t.Context(), api())
			b.must(q, err)
			if q.Backlog.Waiting != 0 || q.Backlog.Running != 0 {
				t.Errorf("backlog %+v", q.Backlog)
			}
			if n := b.rdb.HGet(t.Context(), b.key(""), "f:"+dev().DeviceID).Val(); n != "0" {
				t.Errorf("the device has %s in flight", n)
			}
			kinds := map[string]int{}
			page, err := b.s.Events(t.Context(), b.account, "", 100)
			b.must(page, err)
			for _, e := range page.Items {
				kinds[e.Kind]++
			}
			for kind, want := range map[string]int{"job.accepted": 2, "job.succeeded": 1, "job.retry": 1, "job.released": 1, "job.dead": 1,
				"job.cancelled": 1, "key.created": 2, "key.revoked": 1, "device.linked": 2, "job.resumed": 0} {
				if kinds[kind] != want {
					t.Errorf("%d events %s, want %d", kinds[kind], kind, want)
				}
			}
		})
	}
}

// sees checks a job as its platform reads it.
func (b *bench) sees(api func() relay.Caller, jobID string, state relay.State, attempts int) {
	b.t.Helper()
	j, err := b.s.Job(b.t.Context(), api(), jobID, 0)
	b.must(j, err)
	if j.State != state || j.Attempts != attempts {
		b.t.Errorf("the job is %s after %d attempts, want %s after %d", j.State, j.Attempts, state, attempts)
	}
}

// What is not repeated (a claim, an operator's act) fails when its reply is
// lost, and what it did takes effect once.
func TestLostRepliesOfWhatIsNotRepeated(t *testing.T) {
	t.Parallel()
	b := newSpoilt(t)
	dev := b.device("d")
	api := b.platformOf(dev)
	job := b.admit(api(), "k")
	s := b.connect(dev(), 1)
	b.p.spoil(cut, redisstore.ScriptSHA("claim"), 1)
	wantCode(t, b.err(s.Claim(t.Context())), relay.StoreUnavailable)
	b.sees(api, job.ID, relay.Offered, 0) // it lapses, and comes again
	b.claim(s, 0)

	id := relay.NewAccountID()
	b.p.spoil(cut, redisstore.ScriptSHA("account"), 1)
	wantCode(t, b.err(b.s.CreateAccount(t.Context(), id, relay.AccountChange{})), relay.StoreUnavailable)
	wantCode(t, b.err(b.s.CreateAccount(t.Context(), id, relay.AccountChange{})), relay.AlreadyExists)

	dead := b.deadJob(api)
	b.p.spoil(cut, redisstore.ScriptSHA("redrive"), 1)
	wantCode(t, b.err(b.s.Redrive(t.Context(), b.account, dead.ID)), relay.StoreUnavailable)
	wantCode(t, b.err(b.s.Redrive(t.Context(), b.account, dead.ID)), relay.NotFound)
	b.sees(api, dead.ID, relay.Queued, 0)
	if got := b.traces(b.rdb); got.entries != 2 || got.waiting != "2" {
		t.Errorf("after one redrive %+v", got)
	}
}

// deadJob admits a job and lets it die at once.
func (b *bench) deadJob(api func() relay.Caller) relay.Job {
	b.t.Helper()
	job := b.admit(api(), "dead"+relay.RandomText(6))
	other := b.device("undertaker")
	for _, d := range b.claim(b.connect(other(), 1), 1) {
		b.acted(other(), relay.Fail, d, relay.Dead)
	}
	return job
}
