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
	nonce := k.nonce(c.KeyID, c.Nonce)
	op := s.lost.operation(nonce)
	keys := []string{k.account(), nonce, k.job(ref), k.stream(), k.due(), k.events()}
	var out relay.Admission
	settled := false
	err := s.withPlan(c.Account, func(name string, p quota.Plan) (string, error) {
	again:
		v, err := s.runDurably(ctx, admitScript, keys,
			op, c.NonceTTL.Milliseconds(), c.KeyID, r.Expiry.Milliseconds(), fingerprint(r), string(r.Context), c.Account,
			name, flag(p.APILinks), p.Limits.PerMinute, p.Limits.PerDay, p.Limits.PerMonth, p.Limits.MaxBacklog, "0")
		if err != nil {
			s.lost.remember(nonce, op)
			return "", err
		}
		a := admitReply{reply: reply{v: v}, plan: p}
		if a.text(0) == string(relay.BacklogFull) && a.text(4) == "stale" && !settled {
			settled = true
			if _, err := s.run(ctx, settleScript, 2, k.life(), c.Account, "relay", s.opt.MaxAttempts); err != nil {
				return "", err
			}
			goto again
		}
		return a.read(ref, r, &out)
	})
	return out, err
}

// admitReply reads what admit.lua answers.
type admitReply struct {
	reply
	plan quota.Plan
}

// read fills out; plan is set when the script wants to run with its limits.
func (a *admitReply) read(ref string, r *relay.JobRequest, out *relay.Admission) (plan string, err error) {
	outcome, now, profile, counters, detail := a.text(0), a.number(1), a.text(2), a.text(3), a.text(4)
	if a.err != nil {
		return "", a.err
	}
	if outcome == "plan" {
		return detail, nil
	}
	if profile != "" {
		if out.Windows, err = windows(profile, counters, a.plan, now); err != nil {
			return "", err
		}
	}
	switch outcome {
	case "new", "known":
		out.Replayed = outcome == "known"
		out.Job, err = parseJob(ref, detail, now)
		if outcome == "new" {
			out.Job.IdempotencyKey, out.Job.TrackingURL, out.Job.Source, out.Job.RowID = r.IdempotencyKey, r.TrackingURL, r.Source, r.RowID
		}
		return "", err
	case string(relay.NonceReplayed):
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

// windows are the account's windows, from its profile and counters.
func windows(profileText, counters string, plan quota.Plan, now int64) ([]relay.Window, error) {
	p, err := parseProfile(profileText)
	if err != nil {
		return nil, err
	}
	c, err := quota.ParseCounters(counters)
	if err != nil {
		return nil, err
	}
	return c.Windows(p.overrides.Over(plan.Limits), at(now)), nil
}

// withPlan runs a script that needs the limits of the account's plan, with the
// plan the account had when it was last seen. The script compares: it answers
// the account's plan when that is another one, and is run again with that.
// So a changed plan holds at once, and still takes one round trip.
func (s *Store) withPlan(account string, try func(name string, p quota.Plan) (plan string, err error)) error {
	name, _ := s.planOf.Get(account)
	if name == "" {
		name = quota.DefaultPlan
	}
	for range 3 {
		p, ok := s.opt.Plans[name]
		if !ok {
			return relay.NewError(relay.PlanFeatureMissing, "the account's plan is not one of this deployment's plans")
		}
		plan, err := try(name, p)
		if plan == "" || err != nil {
			return err
		}
		name = plan
		s.planOf.Add(account, plan)
	}
	return relay.NewError(relay.StoreUnavailable, "the account's plan keeps changing")
}

// lostReplies remembers the operation ids of runs whose outcome this replica
// never learned, by nonce: when the caller sends the identical request again,
// the script recognises its own earlier run and the nonce does not refuse it.
// Bounded; a nonce that falls out is refused
// as replayed, with the id of the job it made.
type lostReplies struct{ ops *lru.Cache[string, string] }

const maxLostReplies = 16384

func newLostReplies() lostReplies {
	ops, _ := lru.New[string, string](maxLostReplies) // fails only for a size below 1
	return lostReplies{ops}
}

// operation returns the operation id for a run under the nonce: the one whose
// outcome is open, taken out so that only one request continues it, or a new
// one. A number, for Redis keeps those without an allocation of their own.
func (l lostReplies) operation(nonce string) string {
	if l.ops.Len() > 0 {
		if op, ok := l.ops.Get(nonce); ok && l.ops.Remove(nonce) {
			return op
		}
	}
	return newOperation()
}

func (l lostReplies) remember(nonce, op string) { l.ops.Add(nonce, op) }

func newOperation() string { return strconv.FormatInt(rand.Int64(), 10) } //nolint:gosec // unique, not secret

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
