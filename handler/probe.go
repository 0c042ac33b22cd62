package handler

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// pinger is what readiness asks of the store.
type pinger interface {
	Ping(ctx context.Context) error
}

const (
	pingTimeout = time.Second
	pingAge     = 500 * time.Millisecond // a younger outcome is used again: probes are public
)

// readiness remembers the last ping, so that probes, whoever sends them, make
// at most one round trip per pingAge.
type readiness struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

func (r *readiness) check(store pinger) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.at) < pingAge {
		return r.err
	}
	ctx, cancel := context.WithTimeout(context.Background(), pingTimeout)
	defer cancel()
	r.err = store.Ping(ctx)
	r.at = time.Now()
	return r.err
}

type health struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks,omitempty"`
}

// livez says that the process serves. It never depends on Redis: a restart
// would not bring Redis back.
func (h *Handler) livez(c *call) error { return c.reply(http.StatusOK, health{Status: "ok"}) }

// readyz says whether new requests should come here, and names each check.
func (h *Handler) readyz(c *call) error {
	answer := health{Status: "ok", Checks: map[string]string{"store": "ok", "serving": "ok"}}
	status := http.StatusOK
	if h.isDraining() {
		answer.Checks["serving"] = "draining"
		status = http.StatusServiceUnavailable
	}
	if err := h.ready.check(h.store); err != nil {
		answer.Checks["store"] = "unavailable"
		c.cause = err
		status = http.StatusServiceUnavailable
	}
	if status != http.StatusOK {
		answer.Status = "not ready"
	}
	return c.reply(status, answer)
}
