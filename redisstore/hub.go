package redisstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"linkrelay/relay"
)

// hub is what a replica knows about its connected desktops and waiting callers:
// one subscription in, wake-ups out. Bells (see the scripts) are texts:
//
//	j account                       devices of the account should claim
//	d account job-key               a watched job is final
//	c account device job-key created  a job that the device holds was cancelled
//	k account revision              the inventory of keys changed
//	x key                           what a replica remembers of the key is out of date
//
// A bell can be lost; nothing depends on one for more than time. Every account
// has a timer at its next deadline, and a slow claim as the backstop.
type hub struct {
	log    *zap.Logger
	rdb    redis.UniversalClient
	creds  *credentialCache
	sub    *redis.PubSub // the present one; changed under mu
	ended  chan struct{}
	mu     sync.Mutex
	rooms  map[string]*room
	waits  map[string]map[*watch]struct{}
	closed bool
}

// room holds the sessions of one account on this replica.
type room struct {
	sessions []*Session
	turn     int // whose turn it is when the timer fires
	timer    *time.Timer
	pause    time.Duration // before the next turn; 0 since the last claim
}

// backstop is how long a connected account goes without a claim at the most.
const (
	backstop = 75 * time.Second
	nudge    = 200 * time.Millisecond

	silence     = 2 * time.Second // after which a subscription is probed, and after which again it is dead
	resubscribe = 100 * time.Millisecond
)

func newHub(rdb redis.UniversalClient, creds *credentialCache, log *zap.Logger) *hub {
	h := &hub{log: log, rdb: rdb, creds: creds, ended: make(chan struct{}), rooms: map[string]*room{}, waits: map[string]map[*watch]struct{}{}}
	h.sub = rdb.Subscribe(context.Background(), bellChannel)
	go h.listen()
	return h
}

// listen hands bells on until close, over one subscription after the other.
func (h *hub) listen() {
	defer close(h.ended)
	for sub := h.sub; sub != nil; sub = h.renew() {
		h.hear(sub)
		_ = sub.Close() // it is dead already
	}
}

// renew subscribes again after a pause; nil when the hub is closed.
func (h *hub) renew() *redis.PubSub {
	time.Sleep(resubscribe)
	sub := h.rdb.Subscribe(context.Background(), bellChannel) // dials: not under mu
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		_ = sub.Close()
		return nil
	}
	h.sub = sub
	return sub
}

// hear hands bells on until the connection breaks, or is silent to a probe: a
// peer that went without a word would else go unnoticed. A new subscription
// makes everybody look, and look up credentials again, for bells may have been missed.
func (h *hub) hear(sub *redis.PubSub) {
	probed := false
	for {
		m, err := sub.ReceiveTimeout(context.Background(), silence)
		var quiet net.Error
		if errors.As(err, &quiet) && quiet.Timeout() && !probed {
			probed = true
			err = sub.Ping(context.Background())
			if err == nil {
				continue
			}
		}
		if err != nil {
			return
		}
		probed = false
		switch m := m.(type) {
		case *redis.Subscription:
			h.creds.dropAll()
			h.wakeAll()
		case *redis.Message:
			h.bell(m.Payload)
		}
	}
}

func (h *hub) close() {
	h.mu.Lock()
	h.closed = true
	_ = h.sub.Close() // the connection may be gone already
	for _, r := range h.rooms {
		r.timer.Stop()
	}
	h.mu.Unlock()
	<-h.ended
}

func (h *hub) bell(text string) {
	f := strings.Split(text, " ")
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case len(f) == 2 && f[0] == "j":
		if r := h.rooms[f[1]]; r != nil {
			r.wake()
		}
	case len(f) == 3 && f[0] == "d":
		for w := range h.waits[f[2]] {
			w.ring()
		}
	case len(f) == 3 && f[0] == "k":
		revision, _ := strconv.ParseInt(f[2], 10, 64) // 0 makes the device look, too
		h.signal(f[1], "", relay.Signal{Kind: relay.FrameKeys, Revision: revision})
	case len(f) == 2 && f[0] == "x":
		h.creds.drop(f[1])
	case len(f) == 5 && f[0] == "c":
		created, _ := strconv.ParseInt(f[4], 10, 64) // written by our own script
		h.signal(f[1], f[2], relay.Signal{Kind: relay.FrameCancel, JobID: relay.JobID(refOf(f[3]), at(created))})
	default:
		h.log.Warn("an unknown text came over the bell channel; does something else publish there?", zap.String("channel", bellChannel))
	}
}

// signal passes a frame to the sessions of a device, or of all ("").
func (h *hub) signal(account, device string, sig relay.Signal) {
	r := h.rooms[account]
	if r == nil {
		return
	}
	for _, s := range r.sessions {
		if device != "" && s.caller.DeviceID != device {
			continue
		}
		select {
		case s.signals <- sig:
		default: // the stream does not read; its write deadline ends it, and a new one re-reads
		}
	}
}

func (h *hub) wakeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.rooms {
		r.wake()
	}
	for _, set := range h.waits {
		for w := range set {
			w.ring()
		}
	}
}

func (r *room) wake() {
	for _, s := range r.sessions {
		s.wakeUp()
	}
}

// join adds a session; its first wake-up is due at once.
func (h *hub) join(s *Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	account := s.caller.Account
	r := h.rooms[account]
	if r == nil {
		r = &room{}
		r.timer = time.AfterFunc(backstop, func() { h.fire(account) })
		h.rooms[account] = r
	}
	r.replaceOldest(s.caller.DeviceID)
	r.sessions = append(r.sessions, s)
	s.wakeUp()
}

// sessionsPerDevice is how many streams a device may hold on one replica: enough
// to open the new one before the old one ends, too few to take all there are.
const sessionsPerDevice = 4

// replaceOldest asks the oldest stream of a device to end when another comes.
// One that does not read is ended by its write deadline.
func (r *room) replaceOldest(device string) {
	var oldest *Session
	n := 0
	for _, s := range r.sessions {
		if s.caller.DeviceID != device || s.replaced {
			continue
		}
		if n++; oldest == nil {
			oldest = s
		}
	}
	if n < sessionsPerDevice {
		return
	}
	oldest.replaced = true
	select {
	case oldest.signals <- relay.Signal{Kind: relay.FrameBye, Code: "replaced"}:
	default:
	}
}

func (h *hub) leave(s *Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.rooms[s.caller.Account]
	if r == nil {
		return
	}
	r.sessions = slices.DeleteFunc(r.sessions, func(o *Session) bool { return o == s })
	if len(r.sessions) == 0 {
		r.timer.Stop()
		delete(h.rooms, s.caller.Account)
	}
}

// schedule sets the account's timer to its next deadline as a claim told it, or
// to the jittered backstop. A deadline is met a little late rather than early.
func (h *hub) schedule(account string, in time.Duration) {
	slow := backstop/2 + rand.N(backstop/2)
	if in <= 0 || in > slow {
		in = slow
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.rooms[account]; r != nil && !h.closed {
		r.pause = 0
		r.timer.Reset(in + time.Millisecond)
	}
}

// fire wakes one session: its claim settles what is due, rings for the others
// where there is more than it can take, and sets the timer anew. Should its
// stream be stuck in a write, another one is woken soon; should claims fail, less
// and less often, for streams try again by themselves.
func (h *hub) fire(account string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.rooms[account]; r != nil && !h.closed {
		r.turn = (r.turn + 1) % len(r.sessions)
		r.sessions[r.turn].wakeUp()
		r.pause = min(max(2*r.pause, nudge), backstop)
		r.timer.Reset(r.pause)
	}
}

// watch waits for one job to become final.
type watch struct {
	hub  *hub
	key  string
	rung chan struct{}
}

func (h *hub) watch(jobKey string) *watch {
	w := &watch{hub: h, key: jobKey, rung: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waits[jobKey] == nil {
		h.waits[jobKey] = map[*watch]struct{}{}
	}
	h.waits[jobKey][w] = struct{}{}
	return w
}

func (w *watch) ring() {
	select {
	case w.rung <- struct{}{}:
	default: // it rings already
	}
}

func (w *watch) close() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	delete(w.hub.waits[w.key], w)
	if len(w.hub.waits[w.key]) == 0 {
		delete(w.hub.waits, w.key)
	}
}
