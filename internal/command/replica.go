package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"linkrelay/config"
	"linkrelay/handler"
)

// cutTimeout is what requests that outlived the drain get to end after they
// were cancelled.
const cutTimeout = time.Second

// surface is what a replica serves; *handler.Handler is the real one.
type surface interface {
	Public() http.Handler
	Admin() http.Handler
	Drain()
}

// replica serves a surface on its two listeners.
type replica struct {
	surface surface
	log     *zap.Logger
	notice  time.Duration // between the start of the drain and the closing of the listeners
	drain   time.Duration // from the signal to the end, at most

	public, admin         *http.Server
	publicPort, adminPort net.Listener
	cut                   context.CancelFunc // cancels every request under way
}

// newReplica opens the listeners that the settings name, without serving yet.
func newReplica(ctx context.Context, c *config.Config, s surface, log *zap.Logger) (*replica, error) {
	r := &replica{surface: s, log: log, drain: c.Drain}
	if !c.Embedded { // nothing balances load over a store that only this process sees
		r.notice = c.Drain / 5
	}
	var err error
	if r.publicPort, err = listen(ctx, "RELAY_LISTEN", c.Listen); err != nil {
		return nil, err
	}
	if r.adminPort, err = listen(ctx, "RELAY_ADMIN_LISTEN", c.AdminListen); err != nil {
		return nil, errors.Join(err, r.publicPort.Close())
	}
	base, cut := context.WithCancel(context.WithoutCancel(ctx)) // a signal must not cancel requests, the drain's end does
	r.cut = cut
	r.public, r.admin = r.server(base, s.Public()), r.server(base, s.Admin())
	return r, nil
}

func listen(ctx context.Context, variable, address string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: cannot listen there; choose an address of this machine and a free port: %w", variable, err)
	}
	return l, nil
}

func (r *replica) server(base context.Context, h http.Handler) *http.Server {
	s := handler.Server(h, r.log)
	s.BaseContext = func(net.Listener) context.Context { return base }
	return s
}

// run serves until ctx ends, and then drains; or until a listener fails. All
// requests have ended when it returns, or had their time and were cut.
func (r *replica) run(ctx context.Context) error {
	failed := make(chan error, 2)
	go func() { failed <- r.public.Serve(r.publicPort) }()
	go func() { failed <- r.admin.Serve(r.adminPort) }()
	r.log.Info("serving", zap.Stringer("public", r.publicPort.Addr()), zap.Stringer("admin", r.adminPort.Addr()))
	var err error
	select {
	case err = <-failed:
		err = fmt.Errorf("a listener failed: %w", err)
	case <-ctx.Done():
	}
	r.stop(context.WithoutCancel(ctx))
	return err
}

// stop ends the replica in the order of DESIGN §6. The listeners stay open for
// the notice, because whatever balances load needs that long to see that the
// replica is not ready any more; the operators' closes last.
func (r *replica) stop(ctx context.Context) {
	defer r.cut()
	began := time.Now()
	r.log.Info("draining", zap.Duration("atMost", r.drain))
	ctx, cancel := context.WithTimeout(ctx, r.drain)
	defer cancel()
	r.surface.Drain()
	select {
	case <-time.After(r.notice):
	case <-ctx.Done():
	}
	r.end(ctx, r.public)
	r.end(ctx, r.admin)
	r.log.Info("stopped", zap.Duration("after", time.Since(began)))
}

// end waits for the server's requests. Those that outlive ctx are cancelled.
func (r *replica) end(ctx context.Context, s *http.Server) {
	if s.Shutdown(ctx) == nil {
		return
	}
	r.log.Warn("the drain's time is over; requests are cut", zap.String("remedy", "raise RELAY_DRAIN, and the orchestrator's grace period with it"))
	r.cut()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cutTimeout)
	defer cancel()
	if s.Shutdown(ctx) != nil {
		_ = s.Close() // of connections that are broken anyway
	}
}
