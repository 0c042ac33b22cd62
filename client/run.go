package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"time"

	"linkrelay/relay"
)

// Handler works on one delivery and returns the job's result as JSON of at
// most relay.MaxResult bytes (nothing becomes null). An error fails the
// delivery, to be retried unless it says otherwise: see [Permanent] and
// [RetryIn]. A panic is logged with its stack and fails the delivery.
//
// ctx ends when working on makes no sense any more; context.Cause says why
// (ErrLeaseLost, ErrCancelled, ErrStopping). The handler should return soon
// then; its place among MaxInFlight is taken until it does.
type Handler func(ctx context.Context, d relay.Delivery) (result json.RawMessage, err error)

// Bounds of a stop, after the grace period.
const (
	windUp    = 2 * time.Second  // for handlers to return once their context ended
	lastCalls = 10 * time.Second // for reporting what became of them
)

// Run connects to the relay and works off jobs, at most Options.MaxInFlight at
// once, until ctx ends. It reconnects after every failure, with backoff or when
// the relay asked it to, and keeps the leases of what it works on alive. A
// result is reported until the relay took it, or until somebody else has the
// job. While the relay cannot be reached handlers go on: their results still
// count if nobody else took the job meanwhile.
//
// When ctx ends, Run takes no more jobs, gives running handlers Options.Grace
// to finish, ends the context of those that have not, and releases their jobs
// for other devices without penalty. A handler that ignores its context is
// abandoned. Run then returns nil. It returns an error only when going on is
// pointless: the relay refused the key (*relay.Error) or the device was removed
// (*ByeError with code device_removed).
func (d *Desktop) Run(ctx context.Context, handle Handler) error {
	r := &runner{
		d: d, handle: handle, ending: ctx.Done(),
		slots: make(chan struct{}, d.maxInFlight),
		held:  map[[2]string]*work{},
	}
	r.work, r.stopWork = context.WithCancelCause(context.WithoutCancel(ctx))
	r.calls, r.stopCalls = context.WithCancel(context.WithoutCancel(ctx))
	err := r.connections(ctx)
	grace := d.grace
	if err != nil {
		grace = 0 // the relay takes no results from us any more
	}
	r.stop(grace)
	return err
}

// runner is one run of a desktop.
type runner struct {
	d      *Desktop
	handle Handler
	ending <-chan struct{} // closed when no more jobs may be taken
	slots  chan struct{}   // holds one token for each delivery being worked on

	work      context.Context // what handlers run under; outlives ending by the grace period
	stopWork  context.CancelCauseFunc
	calls     context.Context // what reports run under; outlives work by lastCalls
	stopCalls context.CancelFunc

	mu      sync.Mutex
	held    map[[2]string]*work // by job id and lease
	working sync.WaitGroup      // one for each in held
}

// connections keeps a stream open until ctx ends or there is no hope.
func (r *runner) connections(ctx context.Context) error {
	for failures := 0; ctx.Err() == nil; {
		greeted, err := r.connection(ctx)
		if hopeless(err) {
			return err
		}
		if greeted {
			failures = 0
		}
		failures++
		r.stayAway(ctx, failures, err)
	}
	return nil
}

// stayAway waits before the next connection.
func (r *runner) stayAway(ctx context.Context, failures int, reason error) {
	pause := max(r.d.reconnect.pause(failures), askedPause(reason))
	if ctx.Err() == nil {
		r.d.log.Info("disconnected", "reason", reason, "reconnect_in", pause)
		_ = sleep(ctx, pause) // the loop looks at ctx
	}
}

// askedPause is how long the relay asked us to stay away.
func askedPause(err error) time.Duration {
	if bye, ok := errors.AsType[*ByeError](err); ok {
		return bye.RetryAfter
	}
	if e, ok := errors.AsType[*relay.Error](err); ok {
		return min(e.RetryAfter, time.Hour)
	}
	return 0
}

// connection follows one stream to its end and reports whether it began with
// a hello.
func (r *runner) connection(ctx context.Context) (greeted bool, err error) {
	s, err := r.d.Open(ctx)
	if r.d.sync(err) {
		s, err = r.d.Open(ctx)
	}
	if err != nil {
		return false, err
	}
	defer s.Close()
	r.d.log.Info("connected", "session", s.Hello.SessionID)
	r.recheck()
	var leave time.Time // when the relay wants us to reconnect, after a drain
	for {
		f, err := s.Next()
		if err != nil {
			if _, bye := errors.AsType[*ByeError](err); !bye && !leave.IsZero() {
				err = &ByeError{Code: string(relay.Draining), RetryAfter: max(0, time.Until(leave))}
			}
			return true, err
		}
		if wait, ok := drainDelay(f); ok {
			leave = time.Now().Add(wait)
			defer time.AfterFunc(wait, func() { s.cancel(io.EOF) }).Stop()
			continue
		}
		r.frame(s.Hello, f)
	}
}

func drainDelay(f Frame) (time.Duration, bool) {
	var drain relay.Drain
	if f.Kind != relay.FrameDrain || json.Unmarshal(f.Data, &drain) != nil {
		return 0, false
	}
	return milliseconds(drain.ReconnectAfterMS), true
}

// frame acts on one frame. Frames of kinds this version does not know are for
// newer ones.
func (r *runner) frame(h relay.Hello, f Frame) {
	switch f.Kind {
	case relay.FrameJob:
		var d relay.Delivery
		if json.Unmarshal(f.Data, &d) != nil || d.JobID == "" || d.Lease == "" {
			r.d.log.Warn("skipped a malformed job frame")
			return
		}
		r.offer(h, d)
	case relay.FrameCancel:
		var c relay.CancelFrame
		if json.Unmarshal(f.Data, &c) == nil {
			r.cancelJob(c.JobID)
		}
	}
}

// stop ends the run: see Run.
func (r *runner) stop(grace time.Duration) {
	idle := make(chan struct{})
	go func() { r.working.Wait(); close(idle) }()
	within := func(d time.Duration) {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-idle:
		case <-t.C:
		}
	}
	within(grace)
	r.stopWork(ErrStopping)
	within(lastCalls)
	r.stopCalls()
	<-idle
}
