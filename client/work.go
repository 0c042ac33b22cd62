package client

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"linkrelay/relay"
)

// work is one delivery from its offer to its end.
type work struct {
	relay.Delivery
	lease  time.Duration // how long the relay leases it for
	offer  time.Duration // how long the offer stands
	ctx    context.Context
	cancel context.CancelCauseFunc
	beat   chan struct{} // asks for an extend now
}

type outcome struct {
	result json.RawMessage
	err    error
}

func (w *work) act(a relay.Action) relay.Action {
	a.JobID, a.Lease = w.JobID, w.Lease
	return a
}

// ended reports whether the work's context ended for this reason.
func (w *work) ended(why error) bool { return errors.Is(context.Cause(w.ctx), why) }

// pace is the time to the next extend: a third of the lease, so that two may
// fail, less some jitter, so that jobs taken together drift apart.
func (w *work) pace() time.Duration { return w.lease/3 - rand.N(w.lease/15) }

// offer starts work on a delivery, unless it is under way already. Offers
// beyond what the slots will soon take are left to other devices.
func (r *runner) offer(h relay.Hello, d relay.Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := [2]string{d.JobID, d.Lease}
	if r.held[key] != nil {
		return
	}
	if len(r.held) >= 2*cap(r.slots) {
		r.d.log.Warn("left an offer to other devices: too many already", "job", d.JobID)
		return
	}
	w := &work{
		Delivery: d,
		lease:    time.Duration(h.LeaseSeconds) * time.Second,
		offer:    time.Duration(h.OfferSeconds) * time.Second,
		beat:     make(chan struct{}, 1),
	}
	w.ctx, w.cancel = context.WithCancelCause(r.work)
	r.held[key] = w
	r.working.Go(func() {
		r.run(w)
		w.cancel(nil)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.held, key)
	})
}

// recheck extends everything held at once: after a reconnect that tells what
// is still ours.
func (r *runner) recheck() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.held {
		select {
		case w.beat <- struct{}{}:
		default:
		}
	}
}

func (r *runner) cancelJob(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.held {
		if w.JobID == id {
			w.cancel(ErrCancelled)
		}
	}
}

// run takes a delivery from its offer to its end.
func (r *runner) run(w *work) {
	offered, cancel := context.WithTimeout(w.ctx, w.offer)
	defer cancel()
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-offered.Done():
		return
	case <-r.ending:
		return
	}
	if r.accept(offered, w) {
		r.report(w, r.attend(w))
	}
}

// accept takes the offer and reports whether to begin. When it cannot tell
// whether the relay heard it, it gives the job back rather than keep others
// waiting for a lease nobody uses.
func (r *runner) accept(offered context.Context, w *work) bool {
	_, err := r.d.Act(offered, w.act(relay.Action{Verb: relay.Accept}))
	if settled(err) {
		r.d.log.Info("offer gone", "job", w.JobID, "code", relay.CodeOf(err))
		return false
	}
	if w.ended(ErrCancelled) {
		return false
	}
	select {
	case <-r.ending:
	default:
		if err == nil {
			r.d.log.Info("job started", "job", w.JobID, "attempt", w.Attempt)
			return true
		}
	}
	r.release(w)
	return false
}

// attend runs the handler and keeps the lease alive meanwhile.
func (r *runner) attend(w *work) outcome {
	beats, quiet := context.WithCancel(w.ctx)
	defer quiet()
	done := make(chan outcome, 1)
	go func() {
		out := r.call(w)
		quiet() // a heartbeat under way must not hold up the result
		done <- out
	}()
	next := time.NewTimer(w.pace())
	defer next.Stop()
	for {
		select {
		case out := <-done:
			return out
		case <-w.ctx.Done():
			return r.remains(w, done)
		case <-next.C:
		case <-w.beat:
		}
		pause := w.pace()
		if !r.extend(beats, w) {
			pause /= 4
		}
		next.Reset(pause)
	}
}

// remains waits for a handler whose context has ended, not for ever once the
// run is stopping.
func (r *runner) remains(w *work, done <-chan outcome) outcome {
	var enough <-chan time.Time
	if w.ended(ErrStopping) {
		t := time.NewTimer(windUp)
		defer t.Stop()
		enough = t.C
	}
	select {
	case out := <-done:
		return out
	case <-enough:
	case <-r.calls.Done():
	}
	r.d.log.Warn("handler abandoned: it did not return when its context ended", "job", w.JobID)
	return outcome{err: context.Cause(w.ctx)}
}

func (r *runner) call(w *work) (out outcome) {
	defer func() {
		if p := recover(); p != nil {
			r.d.log.Error("handler panicked", "job", w.JobID, "panic", p, "stack", string(debug.Stack()))
			out = outcome{err: errors.New("the handler panicked")}
		}
	}()
	result, err := r.handle(w.ctx, w.Delivery)
	return outcome{result, err}
}

// extend renews the lease and ends the work when the relay says that it is not
// ours any more. It reports whether the relay gave an answer at all.
func (r *runner) extend(ctx context.Context, w *work) bool {
	ctx, cancel := context.WithTimeout(ctx, w.lease/3)
	defer cancel()
	job, err := r.d.Act(ctx, w.act(relay.Action{Verb: relay.Extend}))
	switch {
	case err == nil && !job.State.Final():
	case err == nil, relay.CodeOf(err) == relay.JobFinal:
		w.cancel(ErrCancelled)
	case relay.CodeOf(err) == relay.LeaseLost, relay.CodeOf(err) == relay.NotFound:
		w.cancel(ErrLeaseLost)
	case !errors.Is(err, context.Canceled): // that is: unless the handler has just returned
		r.d.log.Warn("heartbeat failed", "job", w.JobID, "error", err)
		return false
	}
	return true
}

// report tells the relay what became of an accepted delivery. A result found
// although the lease was lost is still offered: it counts if nobody else has
// the job. For a failure that would be wrong: it is not ours to judge then.
func (r *runner) report(w *work, out outcome) {
	switch {
	case out.err == nil && !w.ended(ErrCancelled):
		r.complete(w, out.result)
	case w.ctx.Err() == nil:
		r.fail(w, out.err)
	case w.ended(ErrStopping):
		r.release(w)
	default:
		r.d.log.Info("job stopped", "job", w.JobID, "reason", context.Cause(w.ctx))
	}
}

func (r *runner) complete(w *work, result json.RawMessage) {
	a, err := completeAction(result)
	if err != nil {
		r.fail(w, err)
		return
	}
	err = r.insist(w, a)
	switch relay.CodeOf(err) {
	case relay.BodyTooLarge, relay.BodyMalformed, relay.JSONDuplicateKey, relay.ValidationFailed:
		r.fail(w, Permanent(errors.New("the relay refused the result: "+string(relay.CodeOf(err)))))
	}
}

func (r *runner) fail(w *work, reason error) { _ = r.insist(w, failAction(reason)) }

// release gives the delivery back without penalty. Its lease ends by itself if
// the relay cannot be told.
func (r *runner) release(w *work) {
	ctx, cancel := context.WithTimeout(r.calls, lastCalls)
	defer cancel()
	_, err := r.d.Act(ctx, w.act(relay.Action{Verb: relay.Release}))
	r.d.log.Info("job given back", "job", w.JobID, "error", err)
}

// insist repeats an action until the relay took it or refused it for good, or
// the job has expired (ten minutes allow for clocks that differ).
func (r *runner) insist(w *work, a relay.Action) error {
	end := w.ExpiresAt.Add(10 * time.Minute)
	if w.ExpiresAt.IsZero() {
		end = time.Now().Add(relay.MaxExpiry)
	}
	ctx, cancel := context.WithDeadline(r.calls, end)
	defer cancel()
	for n := 1; ; n++ {
		_, err := r.d.Act(ctx, w.act(a))
		switch {
		case err == nil:
			r.d.log.Info("job done", "job", w.JobID, "reported", a.Verb)
			return nil
		case settled(err), ctx.Err() != nil:
			r.d.log.Warn("report not taken", "job", w.JobID, "reported", a.Verb, "error", err)
			return err
		}
		if err := sleep(ctx, r.d.backoff.pause(n)); err != nil {
			return err
		}
	}
}
