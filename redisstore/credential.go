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

// Credential returns what is known about a key id, relay.ErrUnknownKey when no
// key has it; remembered when it was not looked up for this call. The result is
// shared: do not change it.
func (s *Store) Credential(ctx context.Context, keyID string) (c *relay.Credential, remembered bool, err error) {
	if known, ok := s.creds.get(keyID); ok {
		return known.credential, true, nil
	}
	c, err = s.FreshCredential(ctx, keyID)
	return c, false, err
}

// FreshCredential is Credential as it is now, whatever is remembered.
func (s *Store) FreshCredential(ctx context.Context, keyID string) (*relay.Credential, error) {
	drops := s.creds.drops.Load()
	account, text, err := s.readCredential(ctx, keyID)
	if err != nil {
		return nil, err
	}
	known, _ := s.creds.get(keyID)
	if known.text != text || known.credential.Account != account {
		if known.credential, err = s.openCredential(keyID, account, text); err != nil {
			return nil, err
		}
	}
	s.creds.keep(keyID, known.credential, text, drops)
	return known.credential, nil
}

// nobody is an account that cannot be: see readCredential.
const nobody accountKeys = "-"

// readCredential takes two reads for a key that nobody has as well: the time of
// an answer must not tell whether a key exists.
func (s *Store) readCredential(ctx context.Context, keyID string) (account, text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.total)
	defer cancel()
	owner, err := s.rdb.Get(ctx, keyOwner(keyID)).Result()
	unknown := errors.Is(err, redis.Nil)
	if err != nil && !unknown {
		return "", "", s.unavailable("credential", err)
	}
	keys := nobody
	if !unknown {
		var ok bool
		if account, ok = ownerOf(owner); !ok {
			return "", "", fmt.Errorf("redisstore: %s is damaged, or was written by another version: it names no account", keyOwner(keyID))
		}
		keys = accountKeys(account)
	}
	text, err = s.rdb.Get(ctx, keys.credential(keyID)).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return "", "", relay.ErrUnknownKey
	case err != nil:
		return "", "", s.unavailable("credential", err)
	}
	return account, text, nil
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
