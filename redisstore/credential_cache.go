package redisstore

import (
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"linkrelay/relay"
)

// credentialCache keeps opened credentials for a while, and that a key id is
// unknown for a short while. It may be stale: the scripts look at the state of
// the secret themselves, so a cached one admits nothing after it was revoked or
// replaced. A bell drops what changed, so that a new secret is known soon.
type credentialCache struct {
	known   *lru.Cache[string, cached]
	unknown *lru.Cache[string, time.Time]

	mu    sync.Mutex // between a drop and a keep
	drops atomic.Int64
}

type cached struct {
	credential *relay.Credential
	until      time.Time
}

const (
	knownKeys   = 16384
	unknownKeys = 16384
	knownFor    = time.Minute
	unknownFor  = 10 * time.Second
)

func newCredentialCache() *credentialCache {
	known, _ := lru.New[string, cached](knownKeys) // fail only for a size below 1
	unknown, _ := lru.New[string, time.Time](unknownKeys)
	return &credentialCache{known: known, unknown: unknown}
}

// get returns what is remembered; nil and true of a key id that nobody has.
func (cc *credentialCache) get(keyID string) (c *relay.Credential, found bool) {
	now := time.Now()
	if c, ok := cc.known.Get(keyID); ok && now.Before(c.until) {
		return c.credential, true
	}
	until, ok := cc.unknown.Get(keyID)
	return nil, ok && now.Before(until)
}

// keep remembers what was read, nil of an unknown key. drops is the count when
// the read began: after a drop since then it may be what was there before a
// change, and is not kept.
func (cc *credentialCache) keep(keyID string, c *relay.Credential, drops int64) {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	switch {
	case cc.drops.Load() != drops:
	case c == nil:
		cc.unknown.Add(keyID, time.Now().Add(unknownFor))
	default:
		cc.known.Add(keyID, cached{c, time.Now().Add(knownFor)})
	}
}

// drop forgets a key, also whether there is one.
func (cc *credentialCache) drop(keyID string) {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	cc.drops.Add(1)
	cc.known.Remove(keyID)
	cc.unknown.Remove(keyID)
}

// dropAll forgets everything: bells may have been missed.
func (cc *credentialCache) dropAll() {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	cc.drops.Add(1)
	cc.known.Purge()
	cc.unknown.Purge()
}
