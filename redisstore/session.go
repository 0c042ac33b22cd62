package redisstore

import (
	"context"
	"strings"
	"time"

	"linkrelay/relay"
)

// Session implements relay.Session: one desktop stream on this replica.
type Session struct {
	store   *Store
	caller  relay.Caller
	places  int
	wake    chan struct{}
	signals chan relay.Signal

	replaced bool // asked to end; guarded by the hub
}

// Connect opens a session for a device that proved itself. maxInFlight is how
// many unfinished deliveries it asks for; the account's limit applies too.
func (s *Store) Connect(ctx context.Context, c relay.Caller, maxInFlight int) (relay.Session, error) {
	if _, err := s.read(ctx, c, accountKeys(c.Account).account(), "proof", "", "0"); err != nil {
		return nil, err
	}
	session := &Session{store: s, caller: c, places: maxInFlight, wake: make(chan struct{}, 1), signals: make(chan relay.Signal, 16)}
	s.hub.join(session)
	return session, nil
}

// Wake implements relay.Session.
func (s *Session) Wake() <-chan struct{} { return s.wake }

// Signals implements relay.Session.
func (s *Session) Signals() <-chan relay.Signal { return s.signals }

// Close implements relay.Session.
func (s *Session) Close() { s.store.hub.leave(s) }

func (s *Session) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Claim implements relay.Session. A claim whose reply is lost is not repeated:
// its offers lapse and go to another device.
func (s *Session) Claim(ctx context.Context) ([]relay.Delivery, error) {
	var out []relay.Delivery
	err := s.store.withStanding(s.caller.Account, func(st *standing) (string, error) {
		token := relay.RandomText(22)
		v, err := s.store.run(ctx, claimScript, 1, accountKeys(s.caller.Account).life(), s.caller.Account, s.caller.DeviceID,
			s.caller.DeviceID, s.caller.SecretID, s.places, st.limits.MaxInFlight, st.text,
			s.store.opt.Offer.Milliseconds(), s.store.opt.MaxAttempts, tokenHash(token), claimMax)
		if err != nil {
			return "", err
		}
		a := reply{v: v}
		outcome, now, next := a.text(0), a.number(1), a.number(2)
		if outcome == "profile" {
			return a.text(3), a.err
		}
		if outcome != "ok" {
			return "", refusal(outcome)
		}
		offers, err := a.list(3).texts()
		if err != nil {
			return "", err
		}
		s.store.hub.schedule(s.caller.Account, time.Duration(next-now)*time.Millisecond)
		if rested := a.number(4); rested > now {
			time.AfterFunc(time.Duration(rested-now)*time.Millisecond, s.wakeUp)
		}
		out, err = s.deliveries(offers, token)
		return "", err
	})
	if len(out) == claimMax {
		s.wakeUp() // there may be room for more
	}
	return out, err
}

// claimMax bounds what one claim offers, and so the time its script takes.
const claimMax = 32

func (s *Session) deliveries(offers []string, token string) ([]relay.Delivery, error) {
	out := make([]relay.Delivery, 0, len(offers)/2)
	for i := 0; i+1 < len(offers); i += 2 {
		r, err := parseRecord(offers[i+1])
		if err != nil {
			return nil, err
		}
		ref := refOf(offers[i])
		out = append(out, r.delivery(ref, leaseFor(token, ref)))
	}
	return out, nil
}

// leaseFor is the lease of one delivery: the claim's random token, bound to the
// job. The record keeps the token's hash only; the binding is checked here.
func leaseFor(token, ref string) string { return token + "." + digest(8, token, ref) }

// leaseToken returns the token of a lease, "" if it was not made for this job.
func leaseToken(lease, ref string) string {
	token, _, ok := strings.Cut(lease, ".")
	if !ok || leaseFor(token, ref) != lease {
		return ""
	}
	return token
}

// GiveBack implements relay.Session: what cannot be given back lapses.
func (s *Session) GiveBack(ctx context.Context, offers []relay.Delivery) {
	for _, d := range offers {
		c := s.caller
		c.Nonce, c.NonceTTL, c.Once = newOperation(), time.Minute, "" // ours, not the device's
		_, _ = s.store.Act(ctx, c, relay.Action{Verb: relay.Release, JobID: d.JobID, Lease: d.Lease})
	}
}
