package e2e_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"linkrelay/client"
	"linkrelay/relay"
	"linkrelay/signature"
)

// iklimKey is a key that signs with scheme iklim.
var iklimKey = client.KeySpec{Schemes: []relay.Scheme{relay.SchemeIklim}}

// iklimAt is any request signed with scheme iklim (seed 004).
func (k key) iklimAt(at time.Time, nonce, idempotencyKey, method, target, body string) request {
	header := k.signer().Iklim(at, nonce, idempotencyKey, method, target, []byte(body))
	if body != "" {
		header = jsonHeader(header)
	}
	return request{method, target, header, body}
}

// iklim is iklimAt now, with a nonce and a key never used before.
func (k key) iklim(method, target, body string) request {
	return k.iklimAt(freshTime(), uuid.NewString(), uuid.NewString(), method, target, body)
}

// freshTime is the present millisecond, or the next that no request was signed
// in: two equal requests in one would have one signature.
func freshTime() time.Time {
	for {
		last, now := lastIklim.Load(), time.Now().UnixMilli()
		if next := max(now, last+1); lastIklim.CompareAndSwap(last, next) {
			return time.UnixMilli(next)
		}
	}
}

var lastIklim atomic.Int64

// iklimFetch asks for a job of the row; the idempotency key is in a header.
func (k key) iklimFetch(row string) request {
	return k.iklim(http.MethodPost, "/api/links/fetch", iklimBody(row))
}

func iklimBody(row string) string {
	return fmt.Sprintf(`{"trackingUrl":%q,"source":"newsletter","rowId":%q}`, somewhere, row)
}

// refusedIklim expects a problem with the code in the form that callers of
// iklim read: the members of seed 004 beside ours.
func refusedIklim(t *testing.T, a answer, r request, code relay.Code) relay.Error {
	t.Helper()
	got := as[struct {
		relay.Error
		Timestamp string `json:"timestamp"`
		Reason    string `json:"error"`
		Message   string `json:"message"`
		Path      string `json:"path"`
	}](t, a, relay.NewError(code, "").Status)
	inForm(t, a, got.Error, code)
	path, _, _ := strings.Cut(r.target, "?")
	if got.Reason != http.StatusText(a.status) || got.Message != got.Detail || got.Message == "" || got.Path != path {
		t.Errorf("%s: error, message or path: %s", code, a.body)
	}
	at, err := time.Parse("2006-01-02T15:04:05.000Z", got.Timestamp)
	if off := time.Since(at); err != nil || off < -time.Second || off > patience {
		t.Errorf("%s: timestamp %q is %v ago: %v", code, got.Timestamp, off, err)
	}
	return got.Error
}

// The cases of seed 004, one by one, at both replicas, and for a call that
// reads as for one that creates: what is missing is 400, what does not match or
// is stale 401. None of them takes effect.
func TestIklimRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	a := w.account("")
	k := a.link("desktop").key(iklimKey)
	other := key{k.id, signature.NewSecret()}
	calls := map[string]func(k key, at time.Time) request{
		"fetch": func(k key, at time.Time) request {
			return k.iklimAt(at, uuid.NewString(), uuid.NewString(), http.MethodPost, "/api/links/fetch", iklimBody("7"))
		},
		"verify": func(k key, at time.Time) request {
			return k.iklimAt(at, uuid.NewString(), uuid.NewString(), http.MethodPost, "/api/links/verify", iklimBody("7"))
		},
		"quota": func(k key, at time.Time) request {
			return k.iklimAt(at, uuid.NewString(), uuid.NewString(), http.MethodGet, "/api/links/quota", "")
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			good := func() request { return call(k, time.Now()) }
			for _, base := range []string{w.replicas[0].public, w.replicas[1].public} {
				refuse := func(r request, code relay.Code) relay.Error {
					t.Helper()
					return refusedIklim(t, send(t, base, r), r, code)
				}
				for _, name := range iklimHeaders {
					r := good()
					if e := refuse(r.with(name, ""), relay.HeaderMissing); e.Header != name {
						t.Errorf("names header %q, want %q", e.Header, name)
					}
					twice := good()
					twice.header = twice.header.Clone()
					twice.header.Add(name, twice.header.Get(name))
					if e := refuse(twice, relay.HeaderDuplicated); e.Header != name {
						t.Errorf("names header %q, want %q", e.Header, name)
					}
				}
				for name, value := range map[string]string{
					signature.HeaderIklimTimestamp:   strconv.FormatInt(time.Now().Unix(), 10), // seconds
					signature.HeaderIklimNonce:       "00000000-0000-1000-8000-000000000000",   // version 1
					signature.HeaderIklimIdempotency: "order-7",                                // no UUID
					signature.HeaderIklimSignature:   "sha256=" + strings.Repeat("0", 64),      // a prefix
					signature.HeaderIklimKey:         k.id + " " + strings.Repeat("x", 64),     // two words
				} {
					if e := refuse(good().with(name, value), relay.HeaderMalformed); e.Header != name {
						t.Errorf("names header %q, want %q", e.Header, name)
					}
				}
				refuse(call(other, time.Now()), relay.SignatureInvalid)
				refuse(good().with(signature.HeaderIklimTimestamp, strconv.FormatInt(time.Now().UnixMilli()-1000, 10)), relay.SignatureInvalid)
				for _, off := range []time.Duration{-time.Hour, -301 * time.Second, 310 * time.Second} {
					r := call(k, time.Now().Add(off))
					e := refuse(r, relay.TimestampOutOfWindow)
					if e.ReceivedTimestamp != r.header.Get(signature.HeaderIklimTimestamp) || e.MaxSkewSeconds != 300 || e.ServerTime == 0 || !strings.Contains(e.Detail, "in milliseconds, with serverTime, in seconds") {
						t.Errorf("stale: %+v", e)
					}
				}
			}
		})
	}
	t.Run("tampered", func(t *testing.T) {
		for name, change := range map[string]func(*request){
			"method": func(r *request) { r.method = http.MethodDelete },
			"path":   func(r *request) { r.target = strings.Replace(r.target, "abc", "abd", 1) },
			"query":  func(r *request) { r.target = strings.Replace(r.target, "wait=0", "wait=1", 1) },
		} {
			r := k.iklim(http.MethodGet, "/api/links/jobs/job_0123456789ABCDEFabc?wait=0", "")
			change(&r)
			if e := refusedIklim(t, send(t, w.public(), r), r, relay.SignatureInvalid); e.Diagnosis != "" {
				t.Errorf("%s: diagnosis %q", name, e.Diagnosis)
			}
		}
		r := k.iklimFetch("7")
		r.body = strings.Replace(r.body, "newsletter", "newsLetter", 1)
		refusedIklim(t, send(t, w.public(), r), r, relay.SignatureInvalid)
		raw := k.iklim(http.MethodGet, "/api/links/jobs?idempotencyKey=a|b", "")
		refusedIklim(t, send(t, w.public(), raw), raw, relay.HeaderMalformed)
	})
	if q := a.queue(); q.Waiting != 0 || q.Running != 0 {
		t.Errorf("queue %+v: something that was refused took effect", q)
	}
}

var iklimHeaders = []string{
	signature.HeaderIklimKey, signature.HeaderIklimSignature, signature.HeaderIklimTimestamp,
	signature.HeaderIklimNonce, signature.HeaderIklimIdempotency,
}

// What seed 004 answers 409, at both replicas: a nonce that was used, an
// idempotency key that was used, and a captured request under a fresh nonce and
// key, which its signature does not cover. Each names the job; none of them
// uses anything up.
func TestIklimConflicts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	a := w.account("")
	k := a.link("desktop").key(iklimKey)
	first := k.iklimFetch("7")
	made := as[relay.Job](t, send(t, w.public(), first), http.StatusAccepted)
	if want := first.header.Get(signature.HeaderIklimIdempotency); made.IdempotencyKey != want || made.RowID != "7" {
		t.Errorf("made %+v, want idempotency key %s", made, want)
	}
	nonce, order := first.header.Get(signature.HeaderIklimNonce), first.header.Get(signature.HeaderIklimIdempotency)
	freshNonce := func(r request) request { return r.with(signature.HeaderIklimNonce, uuid.NewString()) }
	post := func(at time.Time, nonce, order, row string) request {
		return k.iklimAt(at, nonce, order, http.MethodPost, "/api/links/fetch", iklimBody(row))
	}
	for round := range 2 {
		for _, base := range []string{w.replicas[0].public, w.replicas[1].public} {
			for name, c := range map[string]struct {
				request
				code relay.Code
				job  string
			}{
				"the same request":               {first, relay.NonceReplayed, made.ID},
				"its nonce in upper case":        {first.with(signature.HeaderIklimNonce, strings.ToUpper(nonce)), relay.NonceReplayed, made.ID},
				"its nonce, signed anew":         {post(freshTime(), nonce, uuid.NewString(), "8"), relay.NonceReplayed, ""},
				"its idempotency key":            {post(freshTime(), uuid.NewString(), order, "7"), relay.IdempotencyKeyReused, made.ID},
				"its key for another row":        {post(freshTime(), uuid.NewString(), order, "8"), relay.IdempotencyKeyReused, made.ID},
				"its key in upper case":          {post(freshTime(), uuid.NewString(), strings.ToUpper(order), "7"), relay.IdempotencyKeyReused, made.ID},
				"captured, fresh nonce":          {freshNonce(first), relay.NonceReplayed, made.ID},
				"captured, fresh nonce and key":  {freshNonce(first).with(signature.HeaderIklimIdempotency, uuid.NewString()), relay.NonceReplayed, ""},
				"captured, upper-case signature": {freshNonce(first).with(signature.HeaderIklimSignature, strings.ToUpper(first.header.Get(signature.HeaderIklimSignature))), relay.NonceReplayed, ""},
			} {
				e := refusedIklim(t, send(t, base, c.request), c.request, c.code)
				if c.job != "" && e.JobID != c.job || e.JobID != "" && e.JobID != made.ID {
					t.Errorf("round %d, %s: names job %q, want %q", round, name, e.JobID, made.ID)
				}
			}
		}
	}
	if q := a.queue(); q.Waiting != 1 {
		t.Errorf("%d jobs wait, want 1", q.Waiting)
	}
	// Reading is single-use in the same way.
	read := k.iklim(http.MethodGet, "/api/links/jobs/"+made.ID, "")
	as[relay.Job](t, send(t, w.public(), read), http.StatusOK)
	for range 2 {
		refusedIklim(t, send(t, w.public(), read), read, relay.NonceReplayed)
		again := freshNonce(read).with(signature.HeaderIklimIdempotency, uuid.NewString())
		refusedIklim(t, send(t, w.public(), again), again, relay.NonceReplayed)
	}
}

// A captured request, sent a hundred times at once with nonces and idempotency
// keys of the attacker's, makes one job.
func TestIklimSignaturePassesOnce(t *testing.T) {
	w := newWorld(t, 2)
	a := w.account("")
	k := a.link("desktop").key(iklimKey)
	captured := k.iklimFetch("7")
	requests := make([]request, 100)
	for i := range requests {
		requests[i] = captured.with(signature.HeaderIklimNonce, uuid.NewString()).with(signature.HeaderIklimIdempotency, uuid.NewString())
	}
	passed := 0
	for i, r := range w.together(requests) {
		if r.status == http.StatusAccepted {
			passed++
			continue
		}
		refusedIklim(t, r, requests[i], relay.NonceReplayed)
	}
	if q := a.queue(); passed != 1 || q.Waiting != 1 {
		t.Errorf("%d passed and %d jobs wait, want one of each", passed, q.Waiting)
	}
}

// The idempotency key of the body, if there is one, is that of the header.
func TestIklimBodyKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	k := w.account("").link("desktop").key(iklimKey)
	order := uuid.NewString()
	body := strings.ToUpper(order)
	r := k.iklimAt(time.Now(), uuid.NewString(), order, http.MethodPost, "/api/links/fetch", jobBody(body, somewhere))
	if made := as[relay.Job](t, send(t, w.public(), r), http.StatusAccepted); made.IdempotencyKey != order {
		t.Errorf("made under %q, want %q", made.IdempotencyKey, order)
	}
	r = k.iklim(http.MethodPost, "/api/links/fetch", jobBody("order-7", somewhere))
	if e := refusedIklim(t, send(t, w.public(), r), r, relay.ValidationFailed); len(e.Errors) != 1 || e.Errors[0].Pointer != "/idempotencyKey" {
		t.Errorf("faults %+v", e.Errors)
	}
}

// What was refused for quota, or because Redis was away, used nothing up: the
// identical request passes later.
func TestIklimRefusalsCanBeSentAgain(t *testing.T) {
	t.Parallel()
	redis := durable(t)
	w := worldOn(t, redis, 2)
	a := w.account(`"plan":"business","limits":{"perDay":1}`)
	k := a.link("desktop").key(iklimKey)
	as[relay.Job](t, send(t, w.public(), k.iklimFetch("1")), http.StatusAccepted)
	second := k.iklimFetch("2")
	for range 3 {
		refusedIklim(t, send(t, w.public(), second), second, relay.QuotaExceeded)
	}
	a.change(`"limits":{"perDay":9}`)
	as[relay.Job](t, send(t, w.public(), second), http.StatusAccepted)
	refusedIklim(t, send(t, w.public(), second), second, relay.NonceReplayed)

	third := k.iklimFetch("3")
	redis.Kill()
	for range 2 {
		refusedIklim(t, send(t, w.public(), third), third, relay.StoreUnavailable)
	}
	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	for _, r := range w.replicas {
		eventually(t, "readiness after the outage", func() bool { return probe(t, r.public, "/readyz").status == http.StatusOK })
	}
	if made := as[relay.Job](t, send(t, w.public(), third), http.StatusAccepted); made.RowID != "3" {
		t.Errorf("made %+v", made)
	}
	refusedIklim(t, send(t, w.public(), third), third, relay.NonceReplayed)
}
