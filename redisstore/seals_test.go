package redisstore_test

import (
	"context"
	"strings"
	"testing"

	"linkrelay/internal/redistest"
	"linkrelay/redisstore"
	"linkrelay/relay"
)

// A replica with other key-encryption keys than those in use does not start.
func TestSealingKeysAreThoseInUse(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	ring := func(keys ...redisstore.SealKey) func(*redisstore.Options) {
		return func(o *redisstore.Options) {
			var err error
			if o.Keyring, err = redisstore.NewKeyring(keys...); err != nil {
				t.Fatal(err)
			}
		}
	}
	k1, forged, k2 := redisstore.SealKey{ID: "k1", Key: [32]byte{1}}, redisstore.SealKey{ID: "k1", Key: [32]byte{7}}, redisstore.SealKey{ID: "k2", Key: [32]byte{2}}
	open(t, server.URL(), ring(k1))
	for name, c := range map[string]struct {
		keys []redisstore.SealKey
		want string
	}{
		"other bytes":    {[]redisstore.SealKey{forged}, `key "k1" is not the one that sealed`},
		"another alone":  {[]redisstore.SealKey{k2}, `sealed with key "k1", which is not among them; put it back behind the first`},
		"other as spare": {[]redisstore.SealKey{k2, forged}, `key "k1" is not the one that sealed`},
	} {
		s, err := redisstore.Open(context.Background(), options(t, server.URL(), ring(c.keys...)))
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.HasPrefix(err.Error(), "RELAY_SECRET_KEYS: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	open(t, server.URL(), ring(k2, k1)) // the rotation
	open(t, server.URL(), ring(k1, k2))
}

// Readiness fails while Redis takes no writes, though it answers.
func TestNotReadyWhileNothingCanBeWritten(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := open(t, server.URL())
	rdb := server.Client(t)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	rdb.ConfigSet(t.Context(), "maxmemory", "1")
	wantCode(t, s.Ping(t.Context()), relay.StoreUnavailable)
	rdb.ConfigSet(t.Context(), "maxmemory", "0")
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// One device cannot take all the streams of a replica: the newest stay.
func TestStreamsOfOneDeviceAreBounded(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev, other := b.device("greedy"), b.device("other")
		kept := b.connect(other(), 1)
		var sessions []relay.Session
		for range 6 {
			sessions = append(sessions, b.connect(dev(), 1))
		}
		for i, s := range append(sessions, kept) {
			replaced := false
			for more := true; more; {
				select {
				case sig := <-s.Signals():
					replaced = replaced || sig.Kind == relay.FrameBye && sig.Code == "replaced"
				default:
					more = false
				}
			}
			if replaced != (i < 2) {
				b.t.Errorf("session %d replaced: %t", i, replaced)
			}
		}
	})
}
