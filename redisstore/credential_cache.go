package redisstore

import (
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"linkrelay/relay"
)

// credentialCache keeps opened credentials for a while. It may be stale: the
// scripts look at the state of the secret themselves, so a cached one admits
// nothing after it was revoked or replaced. A bell drops what changed, and a
// request that does not verify is tried again with what is there now. That no
// key has an id is not remembered, for else the time of an answer would tell
// which ids are in use.
type credentialCache struct {
	known *lru.Cache[string, cached]
	mu    sync.Mutex // between a drop and a keep
	drops atomic.Int64
}

type cached struct {
	credential *relay.Credential
	text       string // of its record
	until      time.Time
}

const (
	knownKeys = 16384
	knownFor  = time.Minute
)

func newCredentialCache() *credentialCache {
	known, _ := lru.New[string, cached](knownKeys) // fails only for a size below 1
	return &credentialCache{known: known}
}

func (cc *credentialCache) get(keyID string) (cached, bool) {
	if c, ok := cc.known.Get(keyID); ok && time.Now().Before(c.until) {
		return c, true
	}
	return cached{}, false
}

// keep remembers what was read. drops is the count when the read began: after a
// drop since then it may be what was there before a change, and is not kept.
func (cc *credentialCache) keep(keyID string, c *relay.Credential, text string, drops int64) {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	if cc.drops.Load() == drops {
		cc.known.Add(keyID, cached{c, text, time.Now().Add(knownFor)})
	}
}

// drop forgets a key.
func (cc *credentialCache) drop(keyID string) {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	cc.drops.Add(1)
	cc.known.Remove(keyID)
}

// dropAll forgets everything: bells may have been missed.
func (cc *credentialCache) dropAll() {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	cc.drops.Add(1)
	cc.known.Purge()
}
