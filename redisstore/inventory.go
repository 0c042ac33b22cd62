package redisstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"linkrelay/relay"
)

// revokedFor is how long a revoked key's secret is kept, so that its holder is
// told key_revoked rather than signature_invalid.
const revokedFor = 30 * 24 * time.Hour

// CreateKey adds an API key to the account of the device that asks.
func (s *Store) CreateKey(ctx context.Context, c relay.Caller, spec relay.KeySpec) (relay.Key, error) {
	key := relay.Key{ID: spec.ID, Name: spec.Name, Environment: spec.Environment, Schemes: spec.Schemes, Scopes: spec.Scopes,
		CreatedBy: c.DeviceID, CreatedAt: time.Now().UTC().Truncate(time.Millisecond), ExpiresAt: spec.ExpiresAt}
	for _, p := range spec.CIDRs {
		key.CIDRs = append(key.CIDRs, p.String())
	}
	entry, err := json.Marshal(key)
	if err != nil {
		return key, fmt.Errorf("redisstore: create key: %w", err)
	}
	expires := int64(0)
	if spec.ExpiresAt != nil {
		expires = spec.ExpiresAt.UnixMilli()
	}
	if err := s.writeCredential(ctx, spec.ID, spec.Secret, credentialRecord{
		Account: c.Account, Schemes: spec.Schemes, Scopes: spec.Scopes, CIDRs: spec.CIDRs}); err != nil {
		return key, err
	}
	_, err = s.changeKeys(ctx, c, "add", spec.ID, expires, string(entry))
	if refused, ok := errors.AsType[*relay.Error](err); ok && refused.Status < 500 {
		s.dropCredential(ctx, spec.ID)
	}
	return key, err
}

// RevokeKey removes an API key of the device's account and returns what is
// left. When it returns, no replica admits anything signed with the key.
func (s *Store) RevokeKey(ctx context.Context, c relay.Caller, keyID string) (relay.KeyInventory, error) {
	inv, err := s.changeKeys(ctx, c, "revoke", keyID, 0, "")
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, s.try)
		defer cancel()
		_ = s.rdb.Expire(ctx, credentialKey(keyID), revokedFor).Err() // only tidies up
	}
	return inv, err
}

// RotateKey gives an API key of the device's account another secret. The ones
// before stay valid for grace, never past their own end.
func (s *Store) RotateKey(ctx context.Context, c relay.Caller, keyID, secret string, grace time.Duration) (relay.Key, error) {
	_, _, _, _, _ = ctx, c, keyID, secret, grace
	return relay.Key{}, errors.New("redisstore: rotate: to come with this change")
}

func (s *Store) changeKeys(ctx context.Context, c relay.Caller, verb, keyID string, expires int64, entry string) (relay.KeyInventory, error) {
	k := accountKeys(c.Account)
	by := s.prove(c, verb+keyID)
	var inv relay.KeyInventory
	err := s.withStanding(c.Account, func(st *standing) (string, error) {
		v, err := s.runFor(ctx, by, keyScript, []string{k.account(), k.keyInventory(), k.events(), by.nonce},
			c.Account, c.DeviceID, c.KeyID, by.op, c.NonceTTL.Milliseconds(), verb, keyID, expires, entry, st.text, st.limits.MaxKeys)
		if err != nil {
			return "", err
		}
		a := reply{v: v}
		switch outcome := a.text(0); outcome {
		case "profile":
			return a.text(1), a.err
		case "ok":
			l := a.list(1)
			inv, err = inventory(l.text(0), l.list(1))
			return "", errors.Join(err, a.err, l.err)
		case string(relay.LimitReached):
			return "", relay.Errorf(relay.LimitReached, "the account has as many keys as maxKeys allows: %d", a.number(1))
		default:
			return "", refusal(outcome)
		}
	})
	return inv, err
}

// KeyInventory is the account's keys as the device that asks may see them: all.
func (s *Store) KeyInventory(ctx context.Context, c relay.Caller) (relay.KeyInventory, error) {
	v, err := s.read(ctx, c, accountKeys(c.Account).keyInventory(), "keys", "", "0")
	if err != nil {
		return relay.KeyInventory{}, err
	}
	inv, err := inventory(v.text(2), v.list(3))
	return inv, errors.Join(err, v.err)
}

func inventory(revision string, entries *reply) (relay.KeyInventory, error) {
	inv := relay.KeyInventory{Keys: []relay.Key{}}
	var err error
	if inv.Revision, err = strconv.ParseInt(revision, 10, 64); err != nil {
		return inv, errReply
	}
	texts, err := entries.texts()
	if err != nil {
		return inv, err
	}
	inv.Keys, err = decodeKeys(texts)
	return inv, err
}

// decodeKeys reads the entries of an inventory of keys; the oldest comes first.
func decodeKeys(texts []string) ([]relay.Key, error) {
	keys, err := decodeAll[relay.Key](texts)
	slices.SortFunc(keys, func(a, b relay.Key) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return keys, err
}

// decodeAll reads the entries of an inventory.
func decodeAll[T any](texts []string) ([]T, error) {
	out := make([]T, len(texts))
	for i, t := range texts {
		if err := json.Unmarshal([]byte(t), &out[i]); err != nil {
			return nil, fmt.Errorf("redisstore: inventory: %w", err)
		}
	}
	return out, nil
}

// CreateLinkCode lets one device link to the account within ttl. Only the
// code's hash is kept.
func (s *Store) CreateLinkCode(ctx context.Context, account, code string, ttl time.Duration) (relay.LinkCode, error) {
	if _, err := s.Account(ctx, account); err != nil {
		return relay.LinkCode{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.total)
	defer cancel()
	hash := codeHash(code)
	// The marker first: the code is found by the other one.
	if err := s.rdb.Set(ctx, accountKeys(account).linkMarker(hash), 1, ttl).Err(); err != nil {
		return relay.LinkCode{}, s.unavailable("link code", err)
	}
	if err := s.rdb.Set(ctx, linkCodeKey(hash), account, ttl).Err(); err != nil {
		return relay.LinkCode{}, s.unavailable("link code", err)
	}
	s.audit(ctx, account, "link_code.created", nil)
	return relay.LinkCode{Code: code, ExpiresAt: time.Now().UTC().Add(ttl).Truncate(time.Second)}, nil
}

// Link trades a link code for a device and its key. The code works once; a
// refusal leaves it good.
func (s *Store) Link(ctx context.Context, code string, d relay.DeviceSpec) (string, error) {
	look, cancel := context.WithTimeout(ctx, s.total)
	defer cancel()
	hash := codeHash(code)
	account, err := s.rdb.Get(look, linkCodeKey(hash)).Result()
	if errors.Is(err, redis.Nil) {
		return "", refusal(string(relay.LinkCodeInvalid))
	}
	if err != nil {
		return "", s.unavailable("link", err)
	}
	entry, err := json.Marshal(relay.Device{ID: d.ID, KeyID: d.KeyID, Name: d.Name, Platform: d.Platform, LinkedAt: time.Now().UTC().Truncate(time.Millisecond)})
	if err != nil {
		return "", fmt.Errorf("redisstore: link: %w", err)
	}
	if err := s.writeCredential(ctx, d.KeyID, d.Secret, credentialRecord{
		Account: account, DeviceID: d.ID, Schemes: []relay.Scheme{relay.SchemeLinkPeeler}}); err != nil {
		return "", err
	}
	k := accountKeys(account)
	err = s.withStanding(account, func(st *standing) (string, error) {
		v, err := s.run(ctx, linkScript, 2, []string{k.account(), k.linkMarker(hash), k.devices(), k.events()},
			d.ID, d.KeyID, string(entry), st.text, st.limits.MaxDevices)
		if err != nil {
			return "", err
		}
		a := reply{v: v}
		switch outcome := a.text(0); outcome {
		case "ok":
			return "", nil
		case "profile":
			return a.text(1), a.err
		case string(relay.LimitReached):
			return "", relay.Errorf(relay.LimitReached, "the account has as many devices as maxDevices allows: %d", a.number(1))
		default:
			return "", refusal(outcome)
		}
	})
	if refused, ok := errors.AsType[*relay.Error](err); ok && refused.Status < 500 {
		s.dropCredential(ctx, d.KeyID)
	}
	return account, err
}
