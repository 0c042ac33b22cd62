package redisstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"linkrelay/quota"
	"linkrelay/relay"
)

// Admit is the admission step: it makes the job, finds the job that an earlier
// request with the same idempotency key made, or refuses with a *relay.Error
// and leaves no trace. Admission.Windows is set whenever the account was read.
func (s *Store) Admit(ctx context.Context, c relay.Caller, r *relay.JobRequest) (relay.Admission, error) {
	k := accountKeys(c.Account)
	ref := relay.JobRef(c.Account, r.IdempotencyKey)
	by := s.prove(c, ref)
	keys := admitKeys(k, by, ref)
	body := recordBody(r)
	var out relay.Admission
	settled := false
	err := s.withStanding(c.Account, func(st *standing) (string, error) {
		args := admitArgs(c, by.op, r, body, st)
		for {
			v, err := s.runDurably(ctx, admitScript, keys, args...)
			if err != nil {
				s.lost.remember(by)
				return "", err
			}
			a := admitReply{reply: reply{v: v}, limits: st.limits}
			if settled || !a.stale() {
				return a.read(ref, r, &out)
			}
			settled = true
			if _, err := s.run(ctx, settleScript, 2, k.life(), c.Account, "relay", s.opt.MaxAttempts); err != nil {
				return "", err
			}
		}
	})
	return out, err
}

func admitKeys(k accountKeys, by proof, ref string) []string {
	return by.marked([]string{k.account(), by.nonce, k.job(ref), k.stream(), k.due(), k.events()})
}

// admitArgs are what admit.lua takes. op "" tries it out.
func admitArgs(c relay.Caller, op string, r *relay.JobRequest, body string, st *standing) []any {
	return []any{op, c.NonceTTL.Milliseconds(), c.SecretID, r.Expiry.Milliseconds(), (r.Expiry + relay.Retention).Milliseconds(),
		body, st.text, string(st.refusal), st.ends,
		st.limits.PerMinute, st.limits.PerDay, st.limits.PerMonth, st.limits.MaxBacklog}
}

// admitReply reads what admit.lua answers.
type admitReply struct {
	reply
	limits relay.Limits
}

// stale reports whether only waiting jobs that may have expired leave no room.
func (a *admitReply) stale() bool {
	return a.text(0) == string(relay.BacklogFull) && a.text(3) == "stale"
}

// read fills out; profile is set when the script wants to run with that one.
func (a *admitReply) read(ref string, r *relay.JobRequest, out *relay.Admission) (profile string, err error) {
	outcome, clock, counters, detail := a.text(0), a.text(1), a.text(2), a.text(3)
	now, bad := strconv.ParseInt(clock, 10, 64)
	if a.err != nil || bad != nil {
		return "", errReply
	}
	if outcome == "profile" {
		return detail, nil
	}
	if out.Windows, err = windows(counters, a.limits, now); err != nil {
		return "", err
	}
	switch outcome {
	case "new":
		if strings.Contains(detail, "\n") { // an earlier run of ours made it
			out.Job, err = parseJob(ref, detail, now)
			return "", err
		}
		created, bad := strconv.ParseInt(detail, 10, 64)
		if bad != nil {
			return "", errReply
		}
		fresh := record{state: relay.Queued, created: created, lifetime: r.Expiry.Milliseconds(),
			key: r.IdempotencyKey, url: r.TrackingURL, source: r.Source, rowID: r.RowID}
		out.Job = fresh.job(ref, now)
		return "", nil
	case "known":
		out.Replayed = true
		out.Job, err = parseJob(ref, detail, now)
		return "", err
	case string(relay.NonceReplayed), "signature_replayed", string(relay.IdempotencyKeyReused):
		err = refusal(outcome)
		if e, ok := errors.AsType[*relay.Error](err); ok && detail != "" {
			if j, bad := parseJob(ref, detail, now); bad == nil {
				e.JobID = j.ID
			}
		}
		return "", err
	case string(relay.RateLimited), string(relay.QuotaExceeded):
		return "", quotaRefusal(relay.Code(outcome), strings.Split(detail, ","), out.Windows)
	case string(relay.BacklogFull):
		e := relay.NewError(relay.BacklogFull, "the account has as many waiting jobs as it may have")
		e.RetryAfter = 10 * time.Second
		return "", e
	}
	return "", refusal(outcome)
}

// quotaRefusal names the windows without room and when to come back: when the
// last of them has room again.
func quotaRefusal(code relay.Code, full []string, windows []relay.Window) error {
	e := relay.Errorf(code, "no request is left in the window: %s", strings.Join(full, ", "))
	e.Windows = full
	for _, w := range windows {
		if slices.Contains(full, w.Name) {
			e.RetryAfter = max(e.RetryAfter, quota.RetryAfter(w))
		}
	}
	return e
}

// windows are the account's windows, from its counters.
func windows(counters string, limits relay.Limits, now int64) ([]relay.Window, error) {
	c, err := quota.ParseCounters(counters)
	if err != nil {
		return nil, err
	}
	return c.Windows(limits, at(now)), nil
}

// lostReplies remembers the operation ids of runs whose outcome this replica
// never learned, by marks and what they were about: when the caller sends the
// identical request again, the script recognises its own earlier run and the
// nonce does not refuse it. Bounded; a nonce that falls out is refused as
// replayed, with the id of the job it made.
type lostReplies struct{ ops *lru.Cache[string, string] }

const maxLostReplies = 16384

func newLostReplies() lostReplies {
	ops, _ := lru.New[string, string](maxLostReplies) // fails only for a size below 1
	return lostReplies{ops}
}

// proof is a signed request's nonce marker and, where signatures count once, the
// mark of its own; what the request is about, and the operation id of the runs on
// its behalf.
type proof struct{ nonce, once, about, op string }

// newProof returns a proof without operation id.
func newProof(c relay.Caller, about string) proof {
	k := accountKeys(c.Account)
	p := proof{nonce: k.nonce(c.KeyID, c.Nonce), about: about}
	if c.Once != "" {
		p.once = k.once(c.KeyID, c.Once)
	}
	return p
}

// marked appends the mark of the signature, if there is one, to a script's keys.
func (p proof) marked(keys []string) []string {
	if p.once == "" {
		return keys
	}
	return append(keys, p.once)
}

// request tells requests apart that may continue each other's runs.
func (p proof) request() string { return p.nonce + p.once + p.about }

// prove returns the proof of a request: with the operation id whose outcome is
// open, taken out so that only one request continues it, or with a new one. A
// number, for Redis keeps those without an allocation of their own. about tells
// requests apart that a careless signer sends under one nonce.
func (s *Store) prove(c relay.Caller, about string) proof {
	p := newProof(c, about)
	if s.lost.ops.Len() > 0 {
		if op, ok := s.lost.ops.Get(p.request()); ok && s.lost.ops.Remove(p.request()) {
			p.op = op
			return p
		}
	}
	p.op = newOperation()
	return p
}

// runFor runs a script on behalf of a signed request.
func (s *Store) runFor(ctx context.Context, p proof, sc *script, keys []string, args ...any) ([]any, error) {
	v, err := s.run(ctx, sc, 2, keys, args...)
	if err != nil {
		s.lost.remember(p)
	}
	return v, err
}

func (l lostReplies) remember(p proof) { l.ops.Add(p.request(), p.op) }

func newOperation() string { return strconv.FormatInt(rand.Int64(), 10) } // unique, not secret

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
