package handler

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"linkrelay/relay"
)

// The bounds on failures. They slow down guessing and the load it makes; they
// are far above what a mistaken configuration of an honest caller produces.
const (
	failureBurst, failureEvery = 20, time.Second            // failed authentications, per client and key id
	guessBurst, guessEvery     = 50, 100 * time.Millisecond // the same, per client, whatever the key
	diagnosisBurst             = 200                        // searches for the mistake behind a failure, of all clients: up to a few ms for each 16 KiB of body
	diagnosisEvery             = 10 * time.Millisecond
	linkBurst, linkEvery       = 20, 2 * time.Second // attempts to link a device, per client
	operatorBurst              = 20                  // wrong operator tokens, per client
	operatorEvery              = time.Second
)

// The bounds on what a key that proved itself may do. Every signed call leaves a
// nonce in Redis for minutes, and every key created its record: without a bound
// one caller could fill the memory of all. Jobs have the account's own windows.
const (
	callBurst, callEvery     = 1000, 5 * time.Millisecond // signed calls of one key but fetch, and again repeated fetches, on one replica
	newKeyBurst, newKeyEvery = 20, 10 * time.Second       // keys created by one device
)

// throttles are the memory of failed attempts. It is per replica and lost at a
// restart: nothing is written to Redis for somebody who proved nothing.
type throttles struct {
	failures  *throttle // by client and key id: nobody else behind the same address is slowed down
	guesses   *throttle // by client: each look-up of an unknown key costs a read
	verified  *table    // by client and key id: what verified lately is exempt from guesses
	diagnoses *throttle // one for all
	link      *throttle // by client
	operator  *throttle // by client
	calls     *throttle // by key id
	replays   *throttle // by key id
	newKeys   *throttle // by key id
	seed      maphash.Seed
}

func newThrottles() throttles {
	return throttles{
		failures:  newThrottle(failureBurst, failureEvery),
		guesses:   newThrottle(guessBurst, guessEvery),
		verified:  newTable(),
		diagnoses: newThrottle(diagnosisBurst, diagnosisEvery),
		link:      newThrottle(linkBurst, linkEvery),
		operator:  newThrottle(operatorBurst, operatorEvery),
		calls:     newThrottle(callBurst, callEvery),
		replays:   newThrottle(callBurst, callEvery),
		newKeys:   newThrottle(newKeyBurst, newKeyEvery),
		seed:      maphash.MakeSeed(),
	}
}

func throttled(wait time.Duration) error {
	e := relay.NewError(relay.FailedAuthThrottled, "too many failed attempts from this address")
	e.RetryAfter = wait
	return e
}

// spend counts one act of a key that proved itself, or says how long to wait.
func (t *throttle) spend(s source, now time.Time, what string) error {
	if wait := t.wait(s, now); wait > 0 {
		return rateLimited(wait, what)
	}
	t.charge(s, now)
	return nil
}

func rateLimited(wait time.Duration, what string) error {
	e := relay.NewError(relay.RateLimited, what)
	e.RetryAfter = wait
	return e
}

// source is what attempts are counted by. Key ids are hashed with a secret
// seed, so that entries are small whatever a caller sends.
type source struct {
	ip  netip.Addr
	key uint64
}

// client returns the source of an address. An IPv6 client owns its /64.
func client(ip netip.Addr) source {
	if ip.Is6() {
		if p, err := ip.WithZone("").Prefix(64); err == nil {
			ip = p.Addr()
		}
	}
	return source{ip: ip}
}

func (s source) withKey(t *throttles, keyID string) source {
	s.key = maphash.String(t.seed, keyID)
	return s
}

// throttle is a token bucket per source, kept as the generic cell rate
// algorithm does: one theoretical arrival time each.
type throttle struct {
	table
	every time.Duration // one attempt comes back in this time
	burst time.Duration // attempts at once, times every
}

func newThrottle(burst int, every time.Duration) *throttle {
	return &throttle{*newTable(), every, time.Duration(burst) * every}
}

// wait returns how long the source must wait before its next attempt, 0 if it
// need not. It writes nothing and is cheap while nobody has failed.
func (t *throttle) wait(s source, now time.Time) time.Duration {
	arrival, ok := t.get(s)
	if !ok {
		return 0
	}
	return max(0, time.Duration(arrival-now.UnixNano())+t.every-t.burst)
}

// charge counts one attempt. However many were let through together before the
// first of them failed, they use up one burst and no more: nobody may lock out
// for long who shares the source with them.
func (t *throttle) charge(s source, now time.Time) {
	at := now.UnixNano()
	t.update(s, at, func(arrival int64) int64 {
		return max(arrival, min(max(arrival, at)+int64(t.every), at+int64(t.burst)))
	})
}

const (
	tableShards  = 16
	shardEntries = 1024 // about 64 KiB each at most
	evictSample  = 8
)

// table is a bounded map from sources to times in unix nanoseconds. A full
// shard forgets the earliest time of a few entries looked at: expired ones go
// first, and a flood of new sources mostly displaces itself.
type table struct {
	seed   maphash.Seed
	used   atomic.Bool // false: nothing was ever written
	shards [tableShards]struct {
		mu sync.RWMutex
		m  map[source]int64
	}
}

func newTable() *table { return &table{seed: maphash.MakeSeed()} }

func (t *table) get(s source) (int64, bool) {
	if !t.used.Load() {
		return 0, false
	}
	shard := &t.shards[maphash.Comparable(t.seed, s)%tableShards]
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	at, ok := shard.m[s]
	return at, ok
}

// update replaces the source's time, 0 if there is none, by next's answer.
func (t *table) update(s source, now int64, next func(int64) int64) {
	t.used.Store(true)
	shard := &t.shards[maphash.Comparable(t.seed, s)%tableShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	old, ok := shard.m[s]
	if !ok && len(shard.m) >= shardEntries {
		evict(shard.m, now)
	}
	if shard.m == nil {
		shard.m = make(map[source]int64)
	}
	shard.m[s] = next(old)
}

func evict(m map[source]int64, now int64) {
	var victim source
	var earliest int64
	looked := 0
	for s, at := range m { // the runtime starts at a random place
		if looked == 0 || at < earliest {
			victim, earliest = s, at
		}
		if looked++; looked == evictSample || at <= now {
			break
		}
	}
	delete(m, victim)
}

// remember notes that a key verified from there. The note is renewed once a minute, so a
// busy key costs a map read and no lock that excludes others.
func (t *throttles) remember(from source, keyID string, now time.Time) {
	s := from.withKey(t, keyID)
	if at, ok := t.verified.get(s); ok && now.UnixNano()-at < int64(time.Minute) {
		return
	}
	t.verified.update(s, 0, func(int64) int64 { return now.UnixNano() })
}
