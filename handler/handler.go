package handler

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"
)

// Options say how a Handler behaves. Every zero value is usable.
type Options struct {
	MaxSkew             time.Duration // how far a signed timestamp may be from the clock, either way; 0: 5 min
	Lease               time.Duration // told to desktops in hello; 0: 60 s
	Offer               time.Duration // told to desktops in hello; 0: 10 s
	AllowPrivateTargets bool          // accept tracking URLs that name private hosts; for development

	// TrustedProxies are addresses or networks whose X-Forwarded-For is
	// believed. None: the client is whoever opened the connection.
	TrustedProxies []string
	// AdminToken is the bearer token of the operator API. Empty: the API
	// answers 404.
	AdminToken string
	// Plans reports whether a plan of that name exists. Nil: every name is
	// left to the store.
	Plans func(name string) bool

	MaxStreams   int           // desktop streams open at once; 0: 20,000
	StreamLife   time.Duration // mean lifetime of a stream, each ±20 %; 0: 10 min
	Ping         time.Duration // between ping frames; 0: 15 s
	FrameTimeout time.Duration // for a client to take one frame; 0: 10 s
	DrainSpread  time.Duration // over which drained desktops reconnect; 0: 5 s

	// Clock is what signed timestamps are compared with; nil: time.Now.
	Clock func() time.Time
}

func (o *Options) setDefaults() {
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{
		{&o.MaxSkew, 5 * time.Minute},
		{&o.Lease, time.Minute},
		{&o.Offer, 10 * time.Second},
		{&o.StreamLife, 10 * time.Minute},
		{&o.Ping, 15 * time.Second},
		{&o.FrameTimeout, 10 * time.Second},
		{&o.DrainSpread, 5 * time.Second},
	} {
		if *d.value <= 0 {
			*d.value = d.usual
		}
	}
	if o.MaxStreams <= 0 {
		o.MaxStreams = 20_000
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Plans == nil {
		o.Plans = func(string) bool { return true }
	}
}

// Store is everything the HTTP surface asks of the store. Each method answers
// with a *relay.Error for what the caller may see, store_unavailable included;
// any other error is shown as internal_error.
type Store interface {
	credentialStore
	platformStore
	desktopStore
	adminStore
	pinger
}

// Handler serves the public and the operators' listener of one replica.
type Handler struct {
	Options
	store Store
	log   *zap.Logger

	public, admin *gin.Engine

	adminToken [sha256.Size]byte
	throttles  throttles
	ready      readiness

	streams   atomic.Int64
	draining  chan struct{} // closed by Drain
	drainOnce sync.Once
}

// New returns a handler. It fails when a trusted proxy is neither an address
// nor a network. One log line per request goes to log at info, warn (refused)
// or error (our fault); sampling is log's business.
func New(o Options, store Store, log *zap.Logger) (*Handler, error) {
	o.setDefaults()
	h := &Handler{
		Options:    o,
		store:      store,
		log:        log,
		adminToken: sha256.Sum256([]byte(o.AdminToken)),
		throttles:  newThrottles(),
		draining:   make(chan struct{}),
	}
	var err error
	if h.public, err = h.engine(h.publicRoutes()); err == nil {
		h.admin, err = h.engine(h.adminRoutes())
	}
	if err != nil {
		return nil, fmt.Errorf("handler: trusted proxies: %w", err)
	}
	return h, nil
}

// Public serves platforms and desktops.
func (h *Handler) Public() http.Handler { return h.public }

// Admin serves operators. Its listener must not face the internet.
func (h *Handler) Admin() http.Handler { return h.admin }

// Drain prepares the replica's end: readiness fails, streams claim no more
// jobs, and each is asked to reconnect elsewhere after a delay of its own and
// then ended. Other requests are still served, because a load balancer needs a
// while to notice. Drain returns at once and may be called again.
func (h *Handler) Drain() { h.drainOnce.Do(func() { close(h.draining) }) }

func (h *Handler) isDraining() bool {
	select {
	case <-h.draining:
		return true
	default:
		return false
	}
}

// Streams returns how many desktop streams are open.
func (h *Handler) Streams() int { return int(h.streams.Load()) }

var quietGin = sync.OnceFunc(func() { gin.SetMode(gin.ReleaseMode) }) // gin prints its routes otherwise

// engine turns a table into a router.
func (h *Handler) engine(table []route) (*gin.Engine, error) {
	quietGin()
	e := gin.New()
	e.RedirectTrailingSlash = false // a signature covers the path as sent
	e.HandleMethodNotAllowed = true
	// X-Real-IP is left out: a proxy that appends to X-Forwarded-For may pass
	// a client's X-Real-IP through untouched.
	e.RemoteIPHeaders = []string{"X-Forwarded-For"}
	if err := e.SetTrustedProxies(h.TrustedProxies); err != nil {
		return nil, err
	}
	for i := range table {
		e.Handle(table[i].method, table[i].path, h.serve(&table[i]))
	}
	e.NoRoute(h.serve(&route{path: "unmatched", do: notFound}))
	e.NoMethod(h.serve(&route{path: "unmatched", do: methodNotAllowed}))
	return e, nil
}
