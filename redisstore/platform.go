package redisstore

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"linkrelay/relay"
)

// Job returns a job by its id. With a wait it returns when the job is final or
// the wait is over, whichever comes first. ctx ends the wait as well, without
// an error.
func (s *Store) Job(ctx context.Context, c relay.Caller, jobID string, wait time.Duration) (relay.Job, error) {
	ref, created, ok := relay.ParseJobID(jobID)
	if !ok {
		return relay.Job{}, refusal(string(relay.NotFound))
	}
	return s.readJob(ctx, c, ref, strconv.FormatInt(created.UnixMilli(), 10), wait)
}

// JobByKey is Job by idempotency key.
func (s *Store) JobByKey(ctx context.Context, c relay.Caller, idempotencyKey string, wait time.Duration) (relay.Job, error) {
	return s.readJob(ctx, c, relay.JobRef(c.Account, idempotencyKey), "", wait)
}

func (s *Store) readJob(ctx context.Context, c relay.Caller, ref, created string, wait time.Duration) (relay.Job, error) {
	key := accountKeys(c.Account).job(ref)
	var done *watch
	if wait > 0 {
		done = s.hub.watch(key) // before the read: a bell between the two is not missed
		defer done.close()
	}
	reads := context.WithoutCancel(ctx) // a wait that ends is no outage
	v, err := s.read(reads, c, key, "job", created, flag(wait > 0))
	if err != nil {
		return relay.Job{}, err
	}
	now, text := v.number(1), v.text(2)
	if v.err != nil {
		return relay.Job{}, v.err
	}
	job, err := parseJob(ref, text, now)
	if err != nil || wait <= 0 || job.State.Final() {
		return job, err
	}
	return s.awaitFinal(ctx, ref, key, job, now, wait, done)
}

// awaitFinal reads the job again when its bell rings (which a new subscription
// does as well: bells may have been missed), when it expires, and at the end of
// the wait. When ctx ends it returns the state as last seen.
func (s *Store) awaitFinal(ctx context.Context, ref, key string, job relay.Job, now int64, wait time.Duration, done *watch) (relay.Job, error) {
	end := time.NewTimer(min(wait, job.ExpiresAt.Sub(at(now))))
	defer end.Stop()
	for over := false; !over && !job.State.Final(); {
		select {
		case <-ctx.Done():
			return job, nil
		case <-done.rung:
		case <-end.C:
			over = true
		}
		again, err := s.peek(context.WithoutCancel(ctx), ref, key)
		if err != nil || again.ID != job.ID {
			return job, err
		}
		job = again
	}
	return job, nil
}

// peek reads a job for a request that was admitted before.
func (s *Store) peek(ctx context.Context, ref, key string) (relay.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, s.total)
	defer cancel()
	pipe := s.rdb.Pipeline()
	text, clock := pipe.Get(ctx, key), pipe.Time(ctx)
	if _, err := pipe.Exec(ctx); errors.Is(err, redis.Nil) {
		return relay.Job{}, refusal(string(relay.NotFound)) // its retention ended while we waited
	} else if err != nil {
		return relay.Job{}, s.unavailable("peek", err)
	}
	return parseJob(ref, text.Val(), clock.Val().UnixMilli())
}

// Cancel ends a job. A waiting one gives its quota back; a device that holds it
// is told. Cancelling a cancelled job is no error; any other final job is.
func (s *Store) Cancel(ctx context.Context, c relay.Caller, jobID string) (relay.Job, error) {
	ref, created, ok := relay.ParseJobID(jobID)
	if !ok {
		return relay.Job{}, refusal(string(relay.NotFound))
	}
	k := accountKeys(c.Account)
	by := s.prove(c, jobID)
	var job relay.Job
	err := s.withStanding(c.Account, func(st *standing) (string, error) {
		v, err := s.runFor(ctx, by, cancelScript, by.marked(k.life(k.job(ref), by.nonce)), c.Account, c.SecretID,
			c.SecretID, by.op, c.NonceTTL.Milliseconds(), created.UnixMilli(), st.text, st.limits.PerMinute, st.limits.PerDay)
		if err != nil {
			return "", err
		}
		a := reply{v: v}
		if a.text(0) == "profile" {
			return a.text(2), a.err
		}
		job, err = a.lifeOutcome(ref)
		return "", err
	})
	return job, err
}

// lifeOutcome reads {outcome, now, record} of the scripts that change a job.
func (r *reply) lifeOutcome(ref string) (relay.Job, error) {
	outcome, now, text := r.text(0), r.number(1), r.text(2)
	if r.err != nil {
		return relay.Job{}, r.err
	}
	if outcome != "ok" && outcome != string(relay.JobFinal) {
		return relay.Job{}, refusal(outcome)
	}
	job, err := parseJob(ref, text, now)
	if err == nil && outcome != "ok" {
		err = jobFinal(job)
	}
	return job, err
}

// Quota returns the account's windows and backlog as they stand.
func (s *Store) Quota(ctx context.Context, c relay.Caller) (relay.QuotaStatus, error) {
	v, err := s.read(ctx, c, accountKeys(c.Account).account(), "quota", "", "0")
	if err != nil {
		return relay.QuotaStatus{}, err
	}
	now, profileText, counters := v.number(1), v.text(2), v.text(3)
	waiting, running := v.text(4), v.text(5)
	if v.err != nil {
		return relay.QuotaStatus{}, v.err
	}
	p, err := parseProfile(profileText)
	if err != nil {
		return relay.QuotaStatus{}, err
	}
	limits := p.overrides.Over(s.opt.Plans[p.plan].Limits)
	q := relay.QuotaStatus{AccountID: c.Account, Plan: p.plan, Membership: p.membership, Backlog: backlog(waiting, running, limits)}
	q.Windows, err = windows(counters, limits, now)
	return q, err
}

func backlog(waiting, running string, l relay.Limits) relay.Backlog {
	w, _ := strconv.ParseInt(waiting, 10, 64) // absent until the first job
	r, _ := strconv.ParseInt(running, 10, 64)
	return relay.Backlog{Waiting: w, Running: r, Limit: l.MaxBacklog}
}

// read runs read.lua on behalf of a signed request.
func (s *Store) read(ctx context.Context, c relay.Caller, key, what, created, watched string) (*reply, error) {
	k := accountKeys(c.Account)
	by := s.prove(c, what+key)
	v, err := s.runFor(ctx, by, readScript, by.marked([]string{k.account(), by.nonce, key, k.uses()}),
		c.SecretID, by.op, c.NonceTTL.Milliseconds(), what, created, watched)
	if err != nil {
		return nil, err
	}
	a := &reply{v: v}
	if outcome := a.text(0); outcome != "ok" {
		return nil, refusal(outcome)
	}
	return a, a.err
}
