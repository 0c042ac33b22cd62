package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"linkrelay/relay"
)

// RotateKey gives an API key of the device's account another secret and returns
// the key as it is then. The secrets before stay valid for grace, never past their
// own end; the new one ends with the key. When it returns, no replica admits
// anything signed with a secret that has ended, and every replica knows the new
// one as soon as its bell came.
//
// It is limit_reached when three older secrets would stay valid, and key_expired
// for a key past its own expiry, which no rotation moves. A rotation whose answer
// was lost is not continued by the identical request, for that comes with another
// secret: it is nonce_replayed, and signed again it rotates once more.
func (s *Store) RotateKey(ctx context.Context, c relay.Caller, keyID, secret string, grace time.Duration) (relay.Key, error) {
	by := s.prove(c, "rotate"+keyID+digest(16, "secret", secret))
	change := keyChange{verb: "rotate", key: relay.Key{ID: keyID}} // made for no generation: asks how the key is
	for range 4 {
		inv, err := s.changeKeys(ctx, c, by, change)
		present, ok := errors.AsType[*keyElsewhere](err)
		if !ok {
			i := slices.IndexFunc(inv.Keys, func(k relay.Key) bool { return k.ID == keyID })
			if err == nil && i < 0 {
				err = errReply
			}
			if err != nil {
				return relay.Key{}, err
			}
			return inv.Keys[i], nil
		}
		if change, err = s.rotation(present, secret, grace); err != nil {
			return relay.Key{}, err
		}
	}
	return relay.Key{}, relay.NewError(relay.StoreUnavailable, "the key keeps changing")
}

// rotation is the change that a rotation makes to a key as key.lua told it.
func (s *Store) rotation(present *keyElsewhere, secret string, grace time.Duration) (keyChange, error) {
	var key relay.Key
	if err := json.Unmarshal([]byte(present.entry), &key); err != nil || len(key.Secrets) == 0 {
		return keyChange{}, errors.New("redisstore: rotate: the key's entry is damaged, or was written by another version")
	}
	credential, err := parseCredential(key.ID, present.credential)
	if err != nil {
		return keyChange{}, err
	}
	now := at(present.now)
	if key.ExpiresAt != nil && !key.ExpiresAt.After(now) {
		return keyChange{}, relay.NewError(relay.KeyExpired, "the key itself is past its expiresAt, which a rotation does not move; create another key")
	}
	if err := endSecrets(&key, now, grace); err != nil {
		return keyChange{}, err
	}
	change, err := addSecret(key, credential, s.seal(key.ID, secret, key.Secrets[0].Generation+1), now)
	change.verb = "rotate"
	return change, err
}

// endSecrets lets every secret of the key end grace after now, if it does not end
// before. At most relay.MaxSecrets may then be valid, and one is to come.
func endSecrets(key *relay.Key, now time.Time, grace time.Duration) error {
	valid, until := 0, now.Add(grace)
	var next time.Time // when the first of the valid ones ends
	for i := range key.Secrets {
		end, ends := secretEnd(key, i)
		if ends && !end.After(now) {
			continue
		}
		if ends && (next.IsZero() || end.Before(next)) {
			next = end
		}
		if !ends || until.Before(end) {
			key.Secrets[i].ValidUntil = &until
		}
		valid++
	}
	if valid < relay.MaxSecrets || grace <= 0 {
		return nil
	}
	return relay.Errorf(relay.LimitReached,
		"the key has %d valid secrets, as many as it may have: rotate again after %s, when the first of them ends, or with graceSeconds 0, which ends them all now",
		valid, next.Format(time.RFC3339))
}

// secretEnd is when the i-th secret of a key ends, if it does.
func secretEnd(key *relay.Key, i int) (end time.Time, ends bool) {
	switch {
	case key.Secrets[i].ValidUntil != nil:
		return *key.Secrets[i].ValidUntil, true
	case key.ExpiresAt != nil:
		return *key.ExpiresAt, true
	}
	return time.Time{}, false
}

// addSecret is the change that puts a secret before those that a key has, of
// which the oldest leaves when there are too many.
func addSecret(key relay.Key, credential credentialRecord, fresh secretRecord, now time.Time) (keyChange, error) {
	key.Secrets = slices.Insert(key.Secrets, 0, relay.Secret{Generation: fresh.Generation, CreatedAt: now})
	key.Secrets = key.Secrets[:min(len(key.Secrets), relay.MaxSecrets)]
	credential.Secrets = slices.Insert(credential.Secrets, 0, fresh)
	credential.Secrets = credential.Secrets[:min(len(credential.Secrets), relay.MaxSecrets)]
	change := keyChange{key: key, before: fresh.Generation - 1}
	for i, secret := range key.Secrets {
		ms := int64(0)
		if end, ends := secretEnd(&key, i); ends {
			ms = max(1, end.UnixMilli()) // 0 would be no end at all
		}
		change.ends = append(change.ends, secret.Generation, ms)
	}
	entry, err1 := json.Marshal(key)
	text, err2 := json.Marshal(credential)
	if err := errors.Join(err1, err2); err != nil {
		return change, fmt.Errorf("redisstore: key: %w", err)
	}
	change.entry, change.credential = string(entry), string(text)
	return change, nil
}
