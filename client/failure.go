package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"

	"linkrelay/relay"
)

// Why the context of a Handler ended: its context.Cause is one of these.
var (
	ErrLeaseLost = errors.New("client: the lease was lost: another device may have the job")
	ErrCancelled = errors.New("client: the job was cancelled or has expired")
	ErrStopping  = errors.New("client: this desktop is stopping")
)

// Permanent marks a handler's error as one that a retry cannot mend: the job
// is dead at once. A nil error stays nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ error }

func (e *permanentError) Unwrap() error   { return e.error }
func (e *permanentError) Retryable() bool { return false }

// RetryIn marks a handler's error as one to retry no sooner than after d (to
// the second, at most relay.MaxRetryDelay) instead of the relay's own backoff.
// A nil error stays nil.
func RetryIn(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &delayedError{err, d}
}

type delayedError struct {
	error
	delay time.Duration
}

func (e *delayedError) Unwrap() error             { return e.error }
func (e *delayedError) RetryDelay() time.Duration { return e.delay }

// failAction turns a handler's error into what is reported. Errors of any
// package say whether and when to retry by a method Retryable() bool and a
// method RetryDelay() time.Duration.
func failAction(err error) relay.Action {
	a := relay.Action{Verb: relay.Fail, Error: relay.OneLine(err.Error(), relay.MaxFailureText), Retryable: true}
	if a.Error == "" {
		a.Error = "failed without a reason"
	}
	if e, ok := errors.AsType[interface {
		error
		Retryable() bool
	}](err); ok {
		a.Retryable = e.Retryable()
	}
	if e, ok := errors.AsType[interface {
		error
		RetryDelay() time.Duration
	}](err); ok {
		delay := min(max(e.RetryDelay(), 0), relay.MaxRetryDelay)
		a.Delay = &delay
	}
	return a
}

// completeAction checks what a handler returned: a result the relay would
// refuse is a failure no retry can mend.
func completeAction(result json.RawMessage) (relay.Action, error) {
	if len(result) == 0 {
		result = json.RawMessage("null")
	}
	var compact bytes.Buffer
	if json.Compact(&compact, result) != nil {
		return relay.Action{}, Permanent(errors.New("the handler's result is not JSON"))
	}
	if compact.Len() > relay.MaxResult {
		return relay.Action{}, Permanent(errors.New("the handler's result is larger than 64 KiB"))
	}
	return relay.Action{Verb: relay.Complete, Result: compact.Bytes()}, nil
}

// settled reports whether a refusal of an action is the relay's last word.
func settled(err error) bool {
	e, ok := errors.AsType[*relay.Error](err)
	return ok && !e.Retryable && e.Code != relay.NonceReplayed && e.Code != relay.TimestampOutOfWindow
}

// hopeless reports whether connecting again cannot help: the relay refused the
// key or the request itself. What others may mend meanwhile (the membership,
// the network this machine is on, a clock) is not hopeless.
func hopeless(err error) bool {
	if bye, ok := errors.AsType[*ByeError](err); ok {
		return bye.Code == "device_removed"
	}
	switch relay.CodeOf(err) {
	case relay.MembershipInactive, relay.PlanFeatureMissing, relay.IPNotAllowed:
		return false
	}
	return settled(err)
}
