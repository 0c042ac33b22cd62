package handler

import (
	"net/netip"
	"testing"
	"time"
)

// However many sources fail, the memory of them stays bounded.
func TestThrottleIsBounded(t *testing.T) {
	th, now := newThrottle(1, time.Second), time.Now()
	for i := range uint64(4 * tableShards * shardEntries) {
		th.charge(source{key: i}, now)
	}
	total := 0
	for i := range th.shards {
		total += len(th.shards[i].m)
	}
	if most := tableShards * shardEntries; total > most {
		t.Errorf("%d entries, want at most %d", total, most)
	}
}

// A full table forgets what has expired before what still holds.
func TestEvictionPrefersTheExpired(t *testing.T) {
	m := map[source]int64{{key: 1}: 100, {key: 2}: 900, {key: 3}: 800}
	evict(m, 500)
	if _, there := m[source{key: 1}]; there || len(m) != 2 {
		t.Errorf("left %v", m)
	}
}

func TestClientOfIPv6IsItsNetwork(t *testing.T) {
	a, b := client(netip.MustParseAddr("2001:db8::1")), client(netip.MustParseAddr("2001:db8::2"))
	if a != b {
		t.Error("addresses of one /64 count as different clients")
	}
	if a == client(netip.MustParseAddr("2001:db8:0:1::1")) {
		t.Error("two networks count as one client")
	}
}
