package redisstore

import (
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"linkrelay/relay"
)

// outages are replies of a Redis that cannot serve right now. Any other error
// reply is a mistake of ours and shown as internal_error.
var outages = []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "OOM", "MISCONF",
	"BUSY", "NOREPLICAS", "NOAUTH", "NOPERM", "WRONGPASS", "UNBLOCKED", "max number of clients"}

// unavailable turns a failure of Redis into what the caller may see.
func (s *Store) unavailable(what string, err error) error {
	err = fmt.Errorf("redisstore: %s: %w", what, err)
	if errors.Is(err, redis.ErrAutoPipelineQueueFull) {
		return relay.NewError(relay.Overloaded, "too many requests are waiting for the store").Because(err)
	}
	var reply redis.Error
	if errors.As(err, &reply) {
		known := false
		for _, p := range outages {
			known = known || redis.HasErrorPrefix(reply, p)
		}
		if !known {
			return err
		}
	}
	return relay.NewError(relay.StoreUnavailable, "the store did not answer in time").Because(err)
}

// refusals are the details of outcomes that need no more than a sentence.
var refusals = map[relay.Code]string{
	relay.KeyRevoked:           "this key was revoked",
	relay.KeyExpired:           "this key's expiry time has passed",
	relay.MembershipInactive:   "the account's membership is not active or has ended",
	relay.PlanFeatureMissing:   "the account's plan does not include API Links",
	relay.NonceReplayed:        "this key has already used this nonce",
	relay.IdempotencyMismatch:  "this idempotency key made a job with another trackingUrl, source or rowId",
	relay.NotFound:             "there is no such record, or it is past its retention",
	relay.IdempotencyKeyReused: "this idempotency key made a job before; use a new one for a new job",
	relay.LeaseLost:            "this lease token no longer holds the delivery",
	relay.LinkCodeInvalid:      "the link code is unknown, used or too old",
	relay.AlreadyExists:        "an account with this id exists",
}

// finer are outcomes that share a code with another and not its sentence.
var finer = map[string]struct {
	code   relay.Code
	detail string
}{
	"secret_replaced":    {relay.KeyExpired, "this secret of the key was replaced; sign with a newer one"},
	"signature_replayed": {relay.NonceReplayed, "this key has already used this signature, under another nonce; sign again with a new timestamp"},
}

// refusal turns an outcome of a script into an error. An outcome nobody
// knows is a mistake of ours.
func refusal(outcome string) error {
	if f, ok := finer[outcome]; ok {
		return relay.NewError(f.code, f.detail)
	}
	detail, ok := refusals[relay.Code(outcome)]
	if !ok {
		return fmt.Errorf("redisstore: unknown outcome %q", outcome)
	}
	return relay.NewError(relay.Code(outcome), detail)
}

// jobFinal refuses an action on a job that has ended.
func jobFinal(j relay.Job) error {
	e := relay.Errorf(relay.JobFinal, "the job is %s", j.State)
	e.JobID = j.ID
	return e
}

var errReply = errors.New("redisstore: a script's reply has not the shape its file promises")
