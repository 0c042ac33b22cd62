package redisstore

import (
	"context"
	"math/rand/v2"

	"linkrelay/relay"
)

// Act does what a device asks for a delivery it holds. lease_lost says that the
// token no longer holds it, job_final that the job has ended; doing again what
// the same token did is no error.
func (s *Store) Act(ctx context.Context, c relay.Caller, a relay.Action) (relay.Job, error) {
	ref, created, ok := relay.ParseJobID(a.JobID)
	if !ok {
		return relay.Job{}, refusal(string(relay.NotFound))
	}
	token := leaseToken(a.Lease, ref)
	if token == "" {
		return relay.Job{}, leaseLost(a.JobID)
	}
	k := accountKeys(c.Account)
	tail, delay := a.Error, any("")
	if a.Verb == relay.Complete {
		tail = string(a.Result)
	}
	if a.Delay != nil {
		delay = a.Delay.Milliseconds()
	}
	p := s.prove(c, string(a.Verb)+a.JobID)
	v, err := s.runFor(ctx, p, actScript, p.marked(k.life(k.job(ref), p.nonce)), c.Account, c.DeviceID,
		c.SecretID, p.op, c.NonceTTL.Milliseconds(), c.DeviceID, string(a.Verb), tokenHash(token), created.UnixMilli(),
		s.opt.Lease.Milliseconds(), s.opt.MaxAttempts, tail, flag(a.Retryable), delay,
		rand.Float64())
	if err != nil {
		return relay.Job{}, err
	}
	r := reply{v: v}
	job, err := r.lifeOutcome(ref)
	if relay.CodeOf(err) == relay.LeaseLost {
		err = leaseLost(a.JobID)
	}
	return job, err
}

// leaseLost names the job as every 409 about one does (CONTRACT §5).
func leaseLost(jobID string) error {
	e := relay.NewError(relay.LeaseLost, refusals[relay.LeaseLost])
	e.JobID = jobID
	return e
}
