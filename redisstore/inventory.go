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
	now := time.Now().UTC().Truncate(time.Millisecond)
	key := relay.Key{ID: spec.ID, Name: spec.Name, Environment: spec.Environment, Schemes: spec.Schemes, AllowSHA1: spec.AllowSHA1,
		Scopes: spec.Scopes, CreatedBy: c.DeviceID, CreatedAt: now, ExpiresAt: spec.ExpiresAt}
	for _, p := range spec.CIDRs {
		key.CIDRs = append(key.CIDRs, p.String())
	}
	change, err := addSecret(key, credentialRecord{Schemes: spec.Schemes, AllowSHA1: spec.AllowSHA1, Scopes: spec.Scopes, CIDRs: spec.CIDRs},
		s.seal(spec.ID, spec.Secret, 1), now)
	if err != nil {
		return key, err
	}
	if err := s.claimKey(ctx, spec.ID, c.Account); err != nil {
		return key, err
	}
	change.verb = "add"
	_, err = s.changeKeys(ctx, c, s.prove(c, "add"+spec.ID), change)
	s.unclaimKey(ctx, spec.ID, err)
	return change.key, err
}

// RevokeKey removes an API key of the device's account and returns what is
// left. When it returns, no replica admits anything signed with the key.
func (s *Store) RevokeKey(ctx context.Context, c relay.Caller, keyID string) (relay.KeyInventory, error) {
	inv, err := s.changeKeys(ctx, c, s.prove(c, "revoke"+keyID), keyChange{verb: "revoke", key: relay.Key{ID: keyID}})
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, s.try)
		defer cancel()
		_ = s.rdb.Expire(ctx, keyOwner(keyID), revokedFor).Err() // only tidies up
	}
	return inv, err
}

// keyChange is what key.lua does to one key.
type keyChange struct {
	verb              string
	key               relay.Key // as it is to be; of one to revoke the id
	before            int       // generation of its newest secret as it is; 0 of a new key
	entry, credential string    // JSON
	ends              []any     // generation and end in ms of each secret that changes
}

// keyElsewhere is key.lua's word that the key is not as the caller knows it.
type keyElsewhere struct {
	entry, credential string
	now               int64 // ms
}

func (*keyElsewhere) Error() string { return "redisstore: the key has changed" }

// changeKeys makes a change and returns the inventory then; a *keyElsewhere when
// the change was made for another generation of the key.
func (s *Store) changeKeys(ctx context.Context, c relay.Caller, by proof, change keyChange) (relay.KeyInventory, error) {
	k := accountKeys(c.Account)
	id := change.key.ID
	keys := by.marked([]string{k.account(), k.keyInventory(), k.events(), by.nonce, k.credential(id), k.uses()})
	var inv relay.KeyInventory
	err := s.withStanding(c.Account, func(st *standing) (string, error) {
		args := []any{c.Account, c.DeviceID, c.SecretID, by.op, c.NonceTTL.Milliseconds(), change.verb, id, st.text, st.limits.MaxKeys,
			change.before, change.entry, change.credential, revokedFor.Milliseconds()}
		v, err := s.runFor(ctx, by, keyScript, keys, append(args, change.ends...)...)
		if err != nil {
			return "", err
		}
		a := reply{v: v}
		switch outcome := a.text(0); outcome {
		case "profile":
			return a.text(1), a.err
		case "ok":
			s.creds.drop(id)
			inv, err = a.inventory(1)
			return "", err
		case "generation":
			present := &keyElsewhere{a.text(1), a.text(2), a.number(3)}
			return "", cmp.Or[error](a.err, present)
		case string(relay.LimitReached):
			return "", relay.Errorf(relay.LimitReached, "the account has as many keys as maxKeys allows: %d", a.number(1))
		case string(relay.NotFound):
			return "", relay.NewError(relay.NotFound, "the account has no key with this id: it was revoked, or is another account's")
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
	return v.inventory(2)
}

// inventory reads {revision, entries, uses} from the i-th element on.
func (r *reply) inventory(i int) (relay.KeyInventory, error) {
	revision := r.text(i)
	entries, err1 := r.list(i + 1).texts()
	used, err2 := r.list(i + 2).texts()
	if err := errors.Join(r.err, err1, err2); err != nil || len(used)%2 != 0 {
		return relay.KeyInventory{}, errReply
	}
	uses := map[string]string{}
	for pair := range slices.Chunk(used, 2) {
		uses[pair[0]] = pair[1]
	}
	return inventory(revision, entries, uses)
}

// inventory puts together what is kept of an account's keys; the oldest comes first.
func inventory(revision string, entries []string, used map[string]string) (relay.KeyInventory, error) {
	n, err := strconv.ParseInt(revision, 10, 64)
	if err != nil {
		return relay.KeyInventory{}, errReply
	}
	keys, err := decodeAll[relay.Key](entries)
	if err != nil {
		return relay.KeyInventory{}, err
	}
	slices.SortFunc(keys, func(a, b relay.Key) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return relay.KeyInventory{Revision: n, Keys: keys}, joinUses(keys, used)
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
	credential, err := json.Marshal(credentialRecord{DeviceID: d.ID, Secrets: []secretRecord{s.seal(d.KeyID, d.Secret, 1)},
		Schemes: []relay.Scheme{relay.SchemeLinkPeeler}})
	if err != nil {
		return "", fmt.Errorf("redisstore: link: %w", err)
	}
	if err := s.claimKey(ctx, d.KeyID, account); err != nil {
		return "", err
	}
	k := accountKeys(account)
	err = s.withStanding(account, func(st *standing) (string, error) {
		v, err := s.run(ctx, linkScript, 2, []string{k.account(), k.linkMarker(hash), k.devices(), k.events(), k.credential(d.KeyID)},
			d.ID, d.KeyID, relay.SecretID(d.KeyID, 1), string(entry), string(credential), st.text, st.limits.MaxDevices)
		if err != nil {
			return "", err
		}
		a := reply{v: v}
		switch outcome := a.text(0); outcome {
		case "ok":
			s.creds.drop(d.KeyID)
			return "", nil
		case "profile":
			return a.text(1), a.err
		case string(relay.LimitReached):
			return "", relay.Errorf(relay.LimitReached, "the account has as many devices as maxDevices allows: %d", a.number(1))
		default:
			return "", refusal(outcome)
		}
	})
	s.unclaimKey(ctx, d.KeyID, err)
	return account, err
}
