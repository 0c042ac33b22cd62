package signature

import "time"

// NonceDrift is how much longer than a request can be fresh its nonce is
// remembered. Replicas judge freshness by their own clocks and the store
// expires the nonce by its own: without this allowance a replica whose clock is
// behind would accept a captured request in the moments after its nonce was
// forgotten. Clocks that differ by more than this break replay protection.
const NonceDrift = 30 * time.Second

// Fresh reports whether a request signed at ts may be accepted at now: the two
// differ by at most skew, in either direction, bounds included.
func Fresh(ts, now time.Time, skew time.Duration) bool {
	age := now.Sub(ts) // saturates, so no timestamp can wrap around
	return -skew <= age && age <= skew
}

// NonceTTL returns how long from now the nonce of a request signed at ts must be
// remembered: until the request could no longer be fresh, and NonceDrift more.
// For a fresh request that is between NonceDrift and 2*skew + NonceDrift. It is
// never less than NonceDrift, so it always serves as a store's expiry.
func NonceTTL(ts, now time.Time, skew time.Duration) time.Duration {
	return max(ts.Add(skew).Sub(now), 0) + NonceDrift
}

// Fresh reports whether the request may be accepted at now. Under signed-query,
// whose time is that of its end, skew does not matter: it must not have passed,
// and be at most MaxQueryAhead away.
func (p *Proof) Fresh(now time.Time, skew time.Duration) bool {
	if p.Scheme == SchemeSignedQuery {
		left := p.Timestamp.Unix() - now.Unix()
		return 0 <= left && left <= int64(MaxQueryAhead/time.Second)
	}
	return Fresh(p.Timestamp, now, skew)
}
