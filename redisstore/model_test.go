package redisstore_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"linkrelay/redisstore"
	"linkrelay/relay"
)

// The model of one account's queue: what the contract says about jobs, with no
// time passing. Random histories must take the store through the same states.
type model struct {
	jobs   map[string]*modelJob // by idempotency key
	fresh  []*modelJob          // never offered, in the order of admission
	again  []*modelJob          // waiting for another delivery, in any order
	used   int                  // requests charged and not given back
	dead   int
	held   [2]int          // unfinished deliveries of each device
	burned map[string]bool // nonces and single-use signatures of requests that were not refused
	apiKey modelKey
}

// modelKey is the platform's key of the moment. Secrets are named by their
// generation, from 1; a grace never ends here.
type modelKey struct {
	id     string
	newest int
	ended  map[int]bool
}

// valid are the generations that may act.
func (k *modelKey) valid() (generations []int) {
	for g := k.newest; g > 0; g-- {
		if !k.ended[g] {
			generations = append(generations, g)
		}
	}
	return generations
}

type modelJob struct {
	key, row             string
	id                   string
	state                relay.State
	attempts, deliveries int
	lease                string // of the last delivery
	holder               int    // device of the last delivery, -1 when given back
	deadline             bool   // is in due
}

const (
	modelBacklog  = 6
	modelQuota    = 25
	modelAttempts = 3
)

func (m *model) waiting() int { return m.count(relay.Queued) + m.count(relay.Offered) }

func (m *model) count(s relay.State) (n int) {
	for _, j := range m.jobs {
		if j.state == s {
			n++
		}
	}
	return n
}

// machine drives the store and the model side by side.
type machine struct {
	*bench
	model
	rdb      *redis.Client
	dev      [2]func() relay.Caller
	sessions [2]relay.Session
	leases   []relay.Delivery // every delivery ever made
	today    int
	last     *relay.Caller // the platform's last request, to send again
}

func newMachine(t *testing.T, s *redisstore.Store, rdb *redis.Client) *machine {
	b := newBench(t, s)
	m := &machine{bench: b, rdb: rdb, model: model{jobs: map[string]*modelJob{}, burned: map[string]bool{}}, today: time.Now().UTC().Day()}
	b.limits(relay.LimitOverrides{PerMinute: ptr(int64(0)), PerDay: ptr(int64(modelQuota)), MaxBacklog: ptr(int64(modelBacklog))})
	m.dev = [2]func() relay.Caller{b.device("one"), b.device("two")}
	m.newKey()
	for i := range m.sessions {
		var err error
		m.sessions[i], err = s.Connect(context.Background(), m.dev[i](), 3)
		b.must(nil, err)
	}
	return m
}

func (m *machine) newKey() {
	m.apiKey = modelKey{id: m.platformOf(m.dev[0])().KeyID, newest: 1, ended: map[int]bool{}}
}

// api is a request with the key's newest secret.
func (m *machine) api() relay.Caller { return by(m.caller(m.apiKey.id, ""), m.apiKey.newest) }

// rotate gives the key another secret, or is refused when three would stay valid.
func (m *machine) rotate(t *rapid.T) {
	grace := rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "grace")
	valid := m.apiKey.valid()
	key, err := m.s.RotateKey(context.Background(), m.dev[1](), m.apiKey.id, fmt.Sprint("secret ", m.apiKey.newest+1), grace)
	if grace > 0 && len(valid) == relay.MaxSecrets {
		expect(t, "rotate", err, relay.LimitReached)
		return
	}
	expect(t, "rotate", err, "")
	if m.apiKey.newest++; grace == 0 {
		for _, g := range valid {
			m.apiKey.ended[g] = true
		}
	}
	c, _, err := m.s.Credential(context.Background(), m.apiKey.id)
	expect(t, "credential", err, "")
	if want := min(m.apiKey.newest, relay.MaxSecrets); len(c.Secrets) != want || len(key.Secrets) != want {
		t.Fatalf("%d and %d secrets, want %d", len(c.Secrets), len(key.Secrets), want)
	}
	for i, s := range key.Secrets {
		g := m.apiKey.newest - i
		text := fmt.Sprint("secret ", g)
		if g == 1 {
			text = "secret"
		}
		ended := s.ValidUntil != nil && time.Until(*s.ValidUntil) < time.Minute
		if s.Generation != g || ended != m.apiKey.ended[g] || (s.ValidUntil == nil) != (i == 0) || c.Secrets[i] != text || c.SecretIDs[i] != relay.SecretID(m.apiKey.id, g) {
			t.Fatalf("generation %d is %+v, %q %s", g, s, c.Secrets[i], c.SecretIDs[i])
		}
	}
}

// revoke ends the key; the platform gets another one.
func (m *machine) revoke(t *rapid.T) {
	inv, err := m.s.RevokeKey(context.Background(), m.dev[0](), m.apiKey.id)
	if expect(t, "revoke", err, ""); len(inv.Keys) != 0 {
		t.Fatalf("%d keys are left", len(inv.Keys))
	}
	m.newKey()
}

// mayAct is why a request's key or secret may not act, or "".
func (m *machine) mayAct(c relay.Caller) relay.Code {
	switch {
	case c.KeyID != m.apiKey.id:
		return relay.KeyRevoked
	case m.apiKey.ended[relay.SecretGeneration(c.SecretID)]:
		return relay.KeyExpired
	}
	return ""
}

// platform is a request of the platform: mostly as it should be, now and then
// with an old secret, an old nonce, or a signature that counts once.
func (m *machine) platform(t *rapid.T) relay.Caller {
	c := m.api()
	if m.last != nil && rapid.IntRange(0, 4).Draw(t, "old nonce") == 0 {
		c = *m.last
	} else if rapid.IntRange(0, 4).Draw(t, "old secret") == 0 {
		c = by(c, rapid.IntRange(1, m.apiKey.newest).Draw(t, "generation"))
	}
	c.Once = rapid.SampledFrom([]string{"", "", "", "signed one", "signed two", "signed " + c.Nonce}).Draw(t, "once")
	m.last = &c
	return c
}

// marks are what a request burns when it is not refused.
func marks(c relay.Caller) []string {
	marks := []string{c.KeyID + c.Nonce}
	if c.Once != "" {
		marks = append(marks, c.KeyID+" "+c.Once)
	}
	return marks
}

func (m *machine) burn(c relay.Caller) {
	for _, mark := range marks(c) {
		m.burned[mark] = true
	}
}

// read is refused where the key may not act, and passes once.
func (m *machine) read(t *rapid.T) {
	c := m.platform(t)
	want := m.mayAct(c)
	if want == "" && slices.ContainsFunc(marks(c), func(mark string) bool { return m.burned[mark] }) {
		want = relay.NonceReplayed
	}
	_, err := m.s.Quota(context.Background(), c)
	if expect(t, "read", err, want) {
		m.burn(c)
	}
}

// expect compares an error's code with the model's; "" is no error.
func expect(t *rapid.T, what string, err error, want relay.Code) bool {
	t.Helper()
	got := relay.Code("")
	if err != nil {
		got = relay.CodeOf(err)
	}
	if got != want {
		t.Fatalf("%s: %v, want %q", what, err, want)
	}
	return want == ""
}

func (m *machine) admit(t *rapid.T) {
	key := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}).Draw(t, "key")
	r := request(key)
	r.RowID = rapid.SampledFrom([]string{"row", "row", "row", "other"}).Draw(t, "row")
	r.Expiry = rapid.SampledFrom([]time.Duration{time.Hour, relay.DefaultExpiry}).Draw(t, "expiry")
	c := m.platform(t)
	tried, would := m.s.Check(context.Background(), c, r)
	a, err := m.s.Admit(context.Background(), c, r)
	if (err == nil) != (would == nil) || relay.CodeOf(err) != relay.CodeOf(would) || tried.Replayed != a.Replayed {
		t.Fatalf("tried out it was %+v, %v; admitted %+v, %v", tried, would, a, err)
	}
	known := m.jobs[key]
	switch {
	case m.mayAct(c) != "":
		expect(t, "admit", err, m.mayAct(c))
	case slices.ContainsFunc(marks(c), func(mark string) bool { return m.burned[mark] }):
		expect(t, "admit", err, relay.NonceReplayed)
	case known != nil && c.Once != "":
		expect(t, "admit", err, relay.IdempotencyKeyReused)
	case known != nil && known.row != r.RowID:
		expect(t, "admit", err, relay.IdempotencyMismatch)
	case known != nil:
		if expect(t, "admit", err, ""); !a.Replayed || a.Job.ID != known.id || a.Job.State != known.state {
			t.Fatalf("a retry got %+v, want %+v", a, known)
		}
		m.burn(c)
	case m.used >= modelQuota:
		expect(t, "admit", err, relay.QuotaExceeded)
	case m.waiting() >= modelBacklog:
		expect(t, "admit", err, relay.BacklogFull)
	default:
		if expect(t, "admit", err, ""); a.Replayed || a.Job.State != relay.Queued {
			t.Fatalf("admitted %+v", a)
		}
		j := &modelJob{key: key, row: r.RowID, id: a.Job.ID, state: relay.Queued, holder: -1, deadline: r.Expiry != relay.DefaultExpiry}
		m.jobs[key], m.fresh = j, append(m.fresh, j)
		m.burn(c)
		m.used++
	}
}

func (m *machine) claim(t *rapid.T) {
	dev := rapid.IntRange(0, 1).Draw(t, "device")
	offers, err := m.sessions[dev].Claim(context.Background())
	expect(t, "claim", err, "")
	if want := min(3-m.held[dev], len(m.again)+len(m.fresh)); len(offers) != want {
		t.Fatalf("device %d was offered %d jobs, want %d", dev, len(offers), want)
	}
	for _, d := range offers {
		j := m.next(t, d)
		j.deliveries++
		if d.Delivery != j.deliveries || d.Attempt != j.attempts+1 || d.RowID != j.row {
			t.Fatalf("delivery %+v of %+v", d, j)
		}
		j.state, j.lease, j.holder, j.deadline = relay.Offered, d.Lease, dev, true
		m.held[dev]++
	}
	m.leases = append(m.leases, offers...)
}

// next takes the job of a delivery out of the queue, where it must be first:
// retries before new jobs, new ones in their order.
func (m *machine) next(t *rapid.T, d relay.Delivery) *modelJob {
	t.Helper()
	is := func(j *modelJob) bool { return j.id == d.JobID }
	if i := slices.IndexFunc(m.again, is); i >= 0 {
		j := m.again[i]
		m.again = slices.Delete(m.again, i, i+1)
		return j
	}
	if len(m.again) > 0 || len(m.fresh) == 0 || !is(m.fresh[0]) {
		t.Fatalf("%s was offered out of its turn", d.JobID)
	}
	j := m.fresh[0]
	m.fresh = m.fresh[1:]
	return j
}

// act tries any verb with any lease there ever was, by any device.
func (m *machine) act(t *rapid.T) {
	if len(m.leases) == 0 {
		t.Skip("nothing was delivered")
	}
	d := m.leases[len(m.leases)-1-rapid.IntRange(0, min(8, len(m.leases)-1)).Draw(t, "lease")]
	dev := rapid.IntRange(0, 1).Draw(t, "device")
	verb := rapid.SampledFrom([]relay.Verb{relay.Accept, relay.Extend, relay.Complete, relay.Fail, relay.Release}).Draw(t, "verb")
	again := rapid.Bool().Draw(t, "retryable")
	j := m.byID(d.JobID)
	if rapid.IntRange(0, 3).Draw(t, "holder acts") > 0 && j.holder >= 0 {
		dev = j.holder
	}
	got, err := m.bench.act(m.dev[dev](), verb, d, func(a *relay.Action) { a.Retryable, a.Delay = again, ptr(time.Duration(0)) })
	if expect(t, string(verb), err, m.follow(j, dev, verb, d.Lease, again)) && (got.State != j.state || got.Attempts != j.attempts) {
		t.Fatalf("%s answered %s after %d attempts, want %s after %d", verb, got.State, got.Attempts, j.state, j.attempts)
	}
}

func (m *machine) byID(id string) *modelJob {
	for _, j := range m.jobs {
		if j.id == id {
			return j
		}
	}
	panic("no job " + id)
}

// follow moves the model on and returns the refusal, or "".
func (m *model) follow(j *modelJob, dev int, verb relay.Verb, lease string, again bool) relay.Code {
	token := j.lease == lease
	mine := token && j.holder == dev
	switch {
	case j.state == relay.Succeeded && verb == relay.Complete && mine,
		j.state == relay.Dead && verb == relay.Fail && token,
		j.state == relay.Queued && (verb == relay.Fail || verb == relay.Release) && token && j.holder == -1 && j.deliveries > 0,
		j.state == relay.Running && verb == relay.Accept && mine:
		return "" // done before
	case j.state.Final():
		return relay.JobFinal
	case !mine, j.state == relay.Offered && verb == relay.Extend:
		return relay.LeaseLost
	}
	before := j.state
	switch {
	case verb == relay.Release && before == relay.Running:
		j.attempts--
	case verb != relay.Release && before == relay.Offered:
		j.attempts++
	}
	switch {
	case verb == relay.Accept || verb == relay.Extend:
		j.state = relay.Running
	case verb == relay.Complete:
		m.end(j, relay.Succeeded)
	case verb == relay.Fail && (!again || j.attempts >= modelAttempts):
		m.end(j, relay.Dead)
		m.dead++
	default:
		m.held[j.holder]--
		j.state, j.holder = relay.Queued, -1
		m.again = append(m.again, j)
	}
	return ""
}

func (m *model) end(j *modelJob, s relay.State) {
	if j.state == relay.Offered || j.state == relay.Running {
		m.held[j.holder]--
	}
	is := func(o *modelJob) bool { return o == j }
	m.fresh, m.again = slices.DeleteFunc(m.fresh, is), slices.DeleteFunc(m.again, is)
	j.state, j.deadline = s, false
}

func (m *machine) cancel(t *rapid.T) {
	if len(m.jobs) == 0 {
		t.Skip("there is no job")
	}
	var keys []string
	for k := range m.jobs {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	j := m.jobs[rapid.SampledFrom(keys).Draw(t, "key")]
	_, err := m.s.Cancel(context.Background(), m.api(), j.id)
	switch {
	case j.state == relay.Cancelled:
		expect(t, "cancel", err, "")
	case j.state.Final():
		expect(t, "cancel", err, relay.JobFinal)
	default:
		expect(t, "cancel", err, "")
		if j.state != relay.Running {
			m.used--
		}
		m.end(j, relay.Cancelled)
	}
}

func (m *machine) redrive(t *rapid.T) {
	for _, j := range m.jobs {
		if j.state == relay.Dead {
			job, err := m.s.Redrive(context.Background(), m.account, j.id)
			if expect(t, "redrive", err, ""); job.State != relay.Queued || job.Attempts != 0 {
				t.Fatalf("redriven %+v", job)
			}
			j.state, j.attempts, j.holder, j.lease, j.deadline = relay.Queued, 0, -1, "-", true
			m.fresh = append(m.fresh, j)
			m.dead--
			return
		}
	}
	t.Skip("no job is dead")
}

// compare looks at all that Redis holds of the account.
func (m *machine) compare(t *rapid.T) {
	ctx := context.Background()
	pipe := m.rdb.Pipeline()
	fields := pipe.HMGet(ctx, m.key(""), "q", "r", "f:"+m.dev[0]().DeviceID, "f:"+m.dev[1]().DeviceID, "c")
	entries, due, dead := pipe.XLen(ctx, m.key(":s")), pipe.ZCard(ctx, m.key(":d")), pipe.XLen(ctx, m.key(":x"))
	pending := pipe.XPending(ctx, m.key(":s"), "relay")
	records := map[*modelJob]*redis.StringCmd{}
	for _, j := range m.jobs {
		records[j] = pipe.Get(ctx, m.key(":j:"+relay.JobRef(m.account, j.key)))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	open, offered, deadlines := m.waiting()+m.count(relay.Running), 0, 0
	for j, text := range records {
		head := strings.Fields(strings.SplitN(text.Val(), "\n", 2)[0])
		want := []string{string(j.state[0]), strconv.Itoa(j.attempts), strconv.Itoa(j.deliveries)}
		if got := []string{head[0], head[3], head[4]}; !slices.Equal(got, want) {
			t.Fatalf("record of %s is %v, want %v", j.key, got, want)
		}
		if !j.state.Final() {
			if !slices.Contains(m.fresh, j) {
				offered++
			}
			if j.deadline {
				deadlines++
			}
		}
	}
	numbers := [4]int{m.waiting(), m.count(relay.Running), m.held[0], m.held[1]}
	for i, want := range numbers {
		text, _ := fields.Val()[i].(string) // absent until the first one
		if got, _ := strconv.Atoi(text); got != want {
			t.Fatalf("waiting, running and in flight should be %v; field %d is %q", numbers, i, text)
		}
	}
	got := [4]int64{entries.Val(), due.Val(), dead.Val(), pending.Val().Count}
	if want := [4]int64{int64(open), int64(deadlines), int64(m.dead), int64(offered)}; got != want {
		t.Fatalf("stream, due, dead letters and pending are %v, want %v", got, want)
	}
	if counters, _ := fields.Val()[4].(string); counters != "" && m.today == time.Now().UTC().Day() {
		if charged := strings.Fields(counters)[2]; charged != fmt.Sprint(m.used) {
			t.Fatalf("%s requests are charged, want %d", charged, m.used)
		}
	}
}

func TestStoreFollowsItsModel(t *testing.T) {
	t.Parallel()
	s, rdb := open(t, servers["redis"]), client(t, servers["redis"])
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine(t, s, rdb)
		defer func() {
			for _, session := range m.sessions {
				session.Close()
			}
		}()
		rt.Repeat(map[string]func(*rapid.T){
			"": m.compare, "admit": m.admit, "claim": m.claim, "act": m.act, "act too": m.act, "cancel": m.cancel, "redrive": m.redrive,
			"rotate": m.rotate, "revoke": m.revoke, "read": m.read,
		})
	})
}
