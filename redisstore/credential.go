package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"

	"github.com/redis/go-redis/v9"

	"linkrelay/relay"
)

// credentialRecord is what an account holds to prove requests of one of its
// keys. It lies beside the account, and not under the key id alone, so that the
// script that makes, replaces or revokes a secret writes all of it in one step.
// By itself it proves nothing: the account's fields of the secrets let them act.
type credentialRecord struct {
	DeviceID  string         `json:"device,omitempty"`
	Secrets   []secretRecord `json:"secrets"` // the newest first, at most relay.MaxSecrets
	Schemes   []relay.Scheme `json:"schemes"`
	AllowSHA1 bool           `json:"allowSha1,omitempty"`
	Scopes    []relay.Scope  `json:"scopes,omitempty"`
	CIDRs     []netip.Prefix `json:"cidrs,omitempty"`
}

// secretRecord is one secret, sealed. One that was replaced stays until later ones push
// it out, so that its holder is told so rather than signature_invalid.
type secretRecord struct {
	Generation int    `json:"generation"`
	Sealed     string `json:"sealed"`
}

// Credential returns what is known about a key id; relay.ErrUnknownKey when no
// key has it. The result is shared: do not change it.
func (s *Store) Credential(ctx context.Context, keyID string) (*relay.Credential, error) {
	if c, known := s.creds.get(keyID); known {
		if c == nil {
			return nil, relay.ErrUnknownKey
		}
		return c, nil
	}
	drops := s.creds.drops.Load()
	c, err := s.readCredential(ctx, keyID)
	if err == nil || errors.Is(err, relay.ErrUnknownKey) {
		s.creds.keep(keyID, c, drops)
	}
	return c, err
}

func (s *Store) readCredential(ctx context.Context, keyID string) (*relay.Credential, error) {
	ctx, cancel := context.WithTimeout(ctx, s.total)
	defer cancel()
	owner, err := s.rdb.Get(ctx, keyOwner(keyID)).Result()
	var account, text string
	if err == nil {
		var ok bool
		if account, ok = ownerOf(owner); !ok {
			return nil, fmt.Errorf("redisstore: %s is damaged, or was written by another version: it names no account", keyOwner(keyID))
		}
		text, err = s.rdb.Get(ctx, accountKeys(account).credential(keyID)).Result()
	}
	if errors.Is(err, redis.Nil) {
		return nil, relay.ErrUnknownKey
	}
	if err != nil {
		return nil, s.unavailable("credential", err)
	}
	return s.openCredential(keyID, account, text)
}

func (s *Store) openCredential(keyID, account, text string) (*relay.Credential, error) {
	r, err := parseCredential(keyID, text)
	if err != nil {
		return nil, err
	}
	c := &relay.Credential{KeyID: keyID, Account: account, DeviceID: r.DeviceID,
		Schemes: r.Schemes, AllowSHA1: r.AllowSHA1, Scopes: r.Scopes, CIDRs: r.CIDRs}
	for _, sealed := range r.Secrets {
		secret, err := s.opt.Keyring.open(sealed.Sealed, keyID)
		if err != nil {
			return nil, err
		}
		c.Secrets = append(c.Secrets, secret)
		c.SecretIDs = append(c.SecretIDs, relay.SecretID(keyID, sealed.Generation))
	}
	return c, nil
}

func parseCredential(keyID, text string) (credentialRecord, error) {
	var r credentialRecord
	if err := json.Unmarshal([]byte(text), &r); err != nil || len(r.Secrets) == 0 {
		return r, fmt.Errorf("redisstore: the credential of key %s is damaged, or was written by another version", keyID)
	}
	return r, nil
}

// seal returns a fresh secret as the record holds it.
func (s *Store) seal(keyID, secret string, generation int) secretRecord {
	return secretRecord{generation, s.opt.Keyring.seal(secret, keyID)}
}

// claimKey makes a fresh key's id lead to its account. There is nothing to find
// until a script wrote the credential, so a crash between the two is harmless.
func (s *Store) claimKey(ctx context.Context, keyID, account string) error {
	ctx, cancel := context.WithTimeout(ctx, s.total)
	defer cancel()
	if err := s.rdb.Set(ctx, keyOwner(keyID), accountKeys(account).owner(), 0).Err(); err != nil {
		return s.unavailable("credential", err)
	}
	return nil
}

// unclaimKey tidies up after a key that a script refused to make.
func (s *Store) unclaimKey(ctx context.Context, keyID string, err error) {
	refused, ok := errors.AsType[*relay.Error](err)
	if !ok || refused.Status >= 500 {
		return // it may exist
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.total)
	defer cancel()
	_ = s.rdb.Del(ctx, keyOwner(keyID)).Err() // what stays leads nowhere
}
