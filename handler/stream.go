package handler

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"linkrelay/relay"
)

const (
	claimTimeout    = 5 * time.Second
	giveBackTimeout = 2 * time.Second
	retryFirst      = 200 * time.Millisecond
	retryMost       = 5 * time.Second
)

// How a stream ended, besides the codes of bye: for the log.
const (
	codeMaxAge        = "max_age"
	codeDraining      = "draining"
	codeDeviceRemoved = "device_removed"
	codeSlowReader    = "slow_reader"
	codeStoreLost     = "store_unavailable"
)

var (
	eventStream = []string{"text/event-stream"}
	noBuffering = []string{"no"}
)

// stream is one connected desktop: GET /api/desktop/jobs/stream.
type stream struct {
	h       *Handler
	c       *call
	session relay.Session
	encode  encoder
	out     *http.ResponseController // of net/http's own writer: gin's swallows the error of Flush

	drain <-chan struct{} // nil once drained
	end   *time.Timer     // when the stream must be over
	why   string          // what bye says then
	retry *time.Timer     // set while a claim has to be tried again
	pause time.Duration   // before that
	seq   int64           // of the last ping
}

// stream serves one desktop until it goes away, its time is over or this
// replica drains.
func (h *Handler) stream(c *call) error {
	maxInFlight := c.number("maxInFlight", 1, relay.MaxStreamsInFlight, relay.DefaultInFlight)
	if err := c.valid(); err != nil {
		return err
	}
	if h.isDraining() {
		return relay.NewError(relay.Draining, "connect again: another replica takes the stream")
	}
	defer h.streams.Add(-1)
	if h.streams.Add(1) > int64(h.MaxStreams) {
		return relay.NewError(relay.Overloaded, "this replica has as many streams as it may")
	}
	session, err := h.store.Connect(c.ctx(), c.caller, maxInFlight)
	if err != nil {
		return err
	}
	defer session.Close()
	s := &stream{
		h: h, c: c, session: session, encode: appendSSE,
		out:   http.NewResponseController(c.raw),
		drain: h.draining, why: codeMaxAge,
	}
	c.code = relay.Code(s.run())
	return nil
}

// run returns how the stream ended.
func (s *stream) run() string {
	life := jittered(s.h.StreamLife)
	s.end = time.NewTimer(life)
	defer s.end.Stop()
	ping := time.NewTicker(s.h.Ping)
	defer ping.Stop()
	defer s.stopRetry()

	header := s.c.g.Writer.Header()
	header["Content-Type"] = eventStream
	header["X-Accel-Buffering"] = noBuffering
	err := s.write(relay.FrameHello, relay.Hello{
		SessionID:     "ses_" + relay.RandomText(12),
		PingSeconds:   int(seconds(s.h.Ping)),
		LeaseSeconds:  int(seconds(s.h.Lease)),
		OfferSeconds:  int(seconds(s.h.Offer)),
		MaxAgeSeconds: int(seconds(life)),
	})
	if err == nil {
		err = s.claim() // what was waiting before this session could be woken
	}
	for err == nil {
		select {
		case <-s.c.ctx().Done():
			return string(clientGone)
		case <-s.drain:
			err = s.beginDrain()
		case <-s.end.C:
			return s.bye(s.why)
		case <-ping.C:
			s.seq++
			err = s.write(relay.FramePing, relay.Ping{Seq: s.seq})
		case signal, open := <-s.session.Signals():
			if !open {
				return s.bye(codeStoreLost)
			}
			if signal.Kind == relay.FrameBye {
				return s.bye(signal.Code)
			}
			err = s.signal(signal)
		case <-s.session.Wake():
			err = s.claim()
		case <-s.retryC():
			s.retry = nil
			err = s.claim()
		}
	}
	if errors.Is(err, errKeyGone) {
		return s.bye(codeDeviceRemoved)
	}
	// After any write that failed net/http ends the request's context, so that
	// alone does not say that the client went away.
	if s.c.ctx().Err() != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return string(clientGone)
	}
	s.c.cause = err
	return codeSlowReader
}

// errKeyGone ends a stream whose device key may not claim any more.
var errKeyGone = errors.New("handler: the device's key is revoked or expired")

// jittered spreads a duration by ±20 %, so that streams opened together do not
// end together.
func jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

func (s *stream) bye(code string) string {
	_ = s.write(relay.FrameBye, relay.Bye{Code: code}) // the stream ends either way
	return code
}

func (s *stream) signal(signal relay.Signal) error {
	switch signal.Kind {
	case relay.FrameCancel:
		return s.write(relay.FrameCancel, relay.CancelFrame{JobID: signal.JobID})
	case relay.FrameKeys:
		return s.write(relay.FrameKeys, relay.KeysFrame{Revision: signal.Revision})
	}
	return nil
}

// beginDrain tells the desktop when to connect elsewhere. The stream stays for
// that long and half the spread more, without claims, so that the new one can
// be opened before it ends.
func (s *stream) beginDrain() error {
	after := rand.N(s.h.DrainSpread)
	s.drain = nil
	s.end.Reset(after + s.h.DrainSpread/2)
	s.why = codeDraining
	return s.write(relay.FrameDrain, relay.Drain{ReconnectAfterMS: after.Milliseconds()})
}

// claim offers the device what it has room for and writes the offers. Those
// that could not be written go back, with no penalty to their jobs. A claim
// that fails is tried again later: the wake-up it answered must not be lost.
// The error is that of the connection.
func (s *stream) claim() error {
	if s.h.isDraining() { // what waits is for the other replicas
		return nil
	}
	// The claim outlives the client: its offers must be known to be given back.
	background := context.WithoutCancel(s.c.ctx())
	ctx, cancel := context.WithTimeout(background, claimTimeout)
	offers, err := s.session.Claim(ctx)
	cancel()
	if code := relay.CodeOf(err); err != nil && (code == relay.KeyRevoked || code == relay.KeyExpired) {
		return errKeyGone
	}
	if err != nil {
		s.retryLater(err)
		return nil
	}
	s.pause = 0
	s.stopRetry()
	for i := range offers {
		if s.h.isDraining() {
			s.giveBack(background, offers[i:])
			return nil
		}
		if err := s.write(relay.FrameJob, &offers[i]); err != nil {
			s.giveBack(background, offers[i:])
			return err
		}
	}
	return nil
}

func (s *stream) giveBack(ctx context.Context, offers []relay.Delivery) {
	ctx, cancel := context.WithTimeout(ctx, giveBackTimeout)
	defer cancel()
	s.session.GiveBack(ctx, offers)
}

func (s *stream) retryLater(err error) {
	if s.pause == 0 {
		s.h.log.Warn("claim failed", zap.String("request", s.c.id), zap.String("account", s.c.caller.Account), cause(err))
	}
	s.pause = min(max(2*s.pause, retryFirst), retryMost)
	s.stopRetry()
	s.retry = time.NewTimer(jittered(s.pause))
}

func (s *stream) stopRetry() {
	if s.retry != nil {
		s.retry.Stop()
		s.retry = nil
	}
}

func (s *stream) retryC() <-chan time.Time {
	if s.retry == nil {
		return nil
	}
	return s.retry.C
}

var frames = sync.Pool{New: func() any { return new([]byte) }}

// write sends one frame at once. It fails when the client did not take it
// within FrameTimeout.
func (s *stream) write(kind relay.FrameKind, data any) error {
	buf := frames.Get().(*[]byte)
	defer frames.Put(buf)
	frame, err := s.encode((*buf)[:0], kind, data)
	if err != nil {
		return fmt.Errorf("handler: encode %s frame: %w", kind, err)
	}
	*buf = frame
	_ = s.out.SetWriteDeadline(time.Now().Add(s.h.FrameTimeout)) // not supported by test recorders
	if _, err := s.c.g.Writer.Write(frame); err != nil {
		return err
	}
	return s.out.Flush()
}
