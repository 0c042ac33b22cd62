package redisstore_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"linkrelay/internal/redistest"
	"linkrelay/redisstore"
	"linkrelay/relay"
)

func usesEvery(d time.Duration) func(*redisstore.Options) {
	return func(o *redisstore.Options) { o.UsesEvery = d }
}

// used counts n requests that the secret verified at a replica.
func used(t testing.TB, s *redisstore.Store, keyID string, generation, n int, last time.Time) {
	t.Helper()
	c, _, err := s.Credential(context.Background(), keyID)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range c.SecretIDs {
		if id == relay.SecretID(keyID, generation) {
			for j := range n {
				s.Used(c, i, last.Add(-time.Duration(j)*time.Second))
			}
			return
		}
	}
	t.Fatalf("no generation %d in %v", generation, c.SecretIDs)
}

// shown is what the operator's listing tells of a key's secrets, the newest first.
func (b *bench) shown(keyID string) string {
	b.t.Helper()
	inv, err := b.s.Keys(b.t.Context(), b.account)
	b.must(inv, err)
	return usesIn(inv, keyID)
}

func usesIn(inv relay.KeyInventory, keyID string) string {
	var lines []string
	for _, k := range inv.Keys {
		for _, s := range k.Secrets {
			if k.ID != keyID {
				continue
			}
			last := "never"
			if s.LastUsedAt != nil {
				last = s.LastUsedAt.Format("15:04:05")
			}
			lines = append(lines, fmt.Sprintf("%d: %d, %s", s.Generation, s.Uses, last))
		}
	}
	return strings.Join(lines, "; ")
}

// Every replica's counts add up, secret by secret, and are shown wherever the
// inventory is; those of a secret that is gone go with it.
func TestUsesAddUp(t *testing.T) {
	onBoth(t, func(b *bench) {
		other := open(b.t, b.url, usesEvery(5*time.Millisecond))
		dev := b.device("d")
		key, unused := b.platformOf(dev)().KeyID, b.platformOf(dev)().KeyID
		noon := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
		if got := b.shown(key); got != "1: 0, never" {
			b.t.Errorf("before the first use: %s", got)
		}
		used(b.t, b.s, key, 1, 3, noon)
		waitUntil(b.t, func() bool { return b.shown(key) == "1: 3, 12:00:00" })
		used(b.t, other, key, 1, 2, noon.Add(-time.Hour)) // earlier than what is known
		waitUntil(b.t, func() bool { return b.shown(key) == "1: 5, 12:00:00" })

		rotated := b.rotate(dev, key, "2", time.Hour)
		if got := usesIn(relay.KeyInventory{Keys: []relay.Key{rotated}}, key); got != "2: 0, never; 1: 5, 12:00:00" {
			b.t.Errorf("the rotation shows %s", got)
		}
		waitUntil(b.t, func() bool { texts, _ := secrets(b.t, other, key); return len(texts) == 2 })
		used(b.t, other, key, 2, 1, noon.Add(time.Minute))
		used(b.t, other, key, 1, 1, noon.Add(2*time.Minute))
		want := "2: 1, 12:01:00; 1: 6, 12:02:00"
		waitUntil(b.t, func() bool { return b.shown(key) == want })
		inv, err := b.s.KeyInventory(b.t.Context(), dev())
		if b.must(inv, err); usesIn(inv, key) != want || usesIn(inv, unused) != "1: 0, never" {
			b.t.Errorf("the desktop is shown %s, %s", usesIn(inv, key), usesIn(inv, unused))
		}

		b.rotate(dev, key, "3", 0)
		b.rotate(dev, key, "4", 0)
		if got := b.shown(key); got != "4: 0, never; 3: 0, never; 2: 1, 12:01:00" {
			b.t.Errorf("after two more rotations %s", got)
		}
		rdb := client(b.t, b.url)
		if n := rdb.HLen(b.t.Context(), b.key(":u")).Val(); n != 1 {
			b.t.Errorf("%d secrets are remembered, one of them is used and there", n)
		}
		after, err := b.s.RevokeKey(b.t.Context(), dev(), unused)
		if b.must(after, err); usesIn(after, key) != "4: 0, never; 3: 0, never; 2: 1, 12:01:00" {
			b.t.Errorf("the revocation shows %s", usesIn(after, key))
		}
		b.must(b.s.RevokeKey(b.t.Context(), dev(), key))
		if n := rdb.Exists(b.t.Context(), b.key(":u")).Val(); n != 0 {
			b.t.Error("uses of a revoked key are left")
		}
	}, usesEvery(5*time.Millisecond))
}

// What was counted before a revocation and is written after it leaves nothing.
func TestUsesOfARevokedKeyAreNotWritten(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		counting, err := redisstore.Open(context.Background(), options(b.t, b.url))
		b.must(counting, err)
		key, kept := b.platformOf(dev)().KeyID, b.platformOf(dev)().KeyID
		used(b.t, counting, key, 1, 1, time.Now())
		used(b.t, counting, kept, 1, 1, time.Now())
		b.must(b.s.RevokeKey(b.t.Context(), dev(), key))
		b.must(nil, counting.Close()) // writes what it counted
		fields, err := client(b.t, b.url).HKeys(b.t.Context(), b.key(":u")).Result()
		if b.must(fields, err); len(fields) != 1 || fields[0] != relay.SecretID(kept, 1) {
			b.t.Errorf("fields %v", fields)
		}
	})
}

// Devices are not counted.
func TestUsesOfDevicesAreNotCounted(t *testing.T) {
	onBoth(t, func(b *bench) {
		s, err := redisstore.Open(context.Background(), options(b.t, b.url))
		b.must(s, err)
		used(b.t, s, b.device("d")().KeyID, 1, 5, time.Now())
		b.must(nil, s.Close())
		if n := client(b.t, b.url).Exists(b.t.Context(), b.key(":u")).Val(); n != 0 {
			b.t.Error("something was counted")
		}
	})
}

// While Redis is away nobody waits for a count, and none is lost: they are
// written when it is back.
func TestUsesOutliveAnOutage(t *testing.T) {
	t.Parallel()
	server := durable(t)
	core, logs := observer.New(zapcore.WarnLevel)
	b := newBench(t, open(t, server.URL(), usesEvery(50*time.Millisecond), func(o *redisstore.Options) { o.Log = zap.New(core) }))
	key := b.platform()().KeyID
	noon := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	used(t, b.s, key, 1, 1, noon)
	server.Kill()
	start := time.Now()
	used(t, b.s, key, 1, 1000, noon)
	if took := time.Since(start); took > 500*time.Millisecond {
		t.Errorf("a thousand uses took %s", took)
	}
	waitUntil(t, func() bool { return logs.FilterMessageSnippet("uses of secrets could not be written").Len() > 1 })
	used(t, b.s, key, 1, 10, noon)
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, func() bool { return b.s.Ping(t.Context()) == nil })
	waitUntil(t, func() bool { return b.shown(key) == "1: 1011, 12:00:00" })
}

// A replica that ends while Redis is away does not hang, and says what is lost.
func TestUsesAtTheEndOfAReplica(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	core, logs := observer.New(zapcore.WarnLevel)
	s, err := redisstore.Open(t.Context(), options(t, server.URL(), func(o *redisstore.Options) { o.Log = zap.New(core) }))
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, s)
	used(t, s, b.platform()().KeyID, 1, 1, time.Now())
	server.Pause()
	start := time.Now()
	_ = s.Close()
	if took := time.Since(start); took > within {
		t.Errorf("the end took %s", took)
	}
	server.Resume()
	if logs.FilterMessageSnippet("the last uses of secrets").Len() != 1 {
		t.Errorf("nothing was said: %v", logs.All())
	}
}
