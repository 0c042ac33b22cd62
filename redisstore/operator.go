package redisstore

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"linkrelay/relay"
)

// operator is the actor of the audit trail for everything in this file.
const operator = "operator"

// CreateAccount makes an account; members of the change that are nil get the
// defaults of a new one.
func (s *Store) CreateAccount(ctx context.Context, id string, c relay.AccountChange) (relay.Account, error) {
	return s.changeAccount(ctx, "create", id, c)
}

// ChangeAccount changes an account. It holds for the next admission on any replica.
func (s *Store) ChangeAccount(ctx context.Context, id string, c relay.AccountChange) (relay.Account, error) {
	return s.changeAccount(ctx, "change", id, c)
}

func (s *Store) changeAccount(ctx context.Context, verb, id string, c relay.AccountChange) (relay.Account, error) {
	k := accountKeys(id)
	v, err := s.run(ctx, accountScript, 1, []string{k.account(), k.stream(), k.events()}, append([]any{verb, operator}, changeArgs(c)...)...)
	if err != nil {
		return relay.Account{}, err
	}
	a := reply{v: v}
	outcome, profileText, created := a.text(0), a.text(1), a.text(2)
	if a.err != nil {
		return relay.Account{}, a.err
	}
	if outcome != "ok" {
		return relay.Account{}, refusal(outcome)
	}
	ms, err := strconv.ParseInt(created, 10, 64)
	if err != nil {
		return relay.Account{}, errReply
	}
	return s.account(id, profileText, at(ms))
}

// Account returns an account.
func (s *Store) Account(ctx context.Context, id string) (relay.Account, error) {
	f, err := s.accountFields(ctx, id, "p", "ca")
	if err != nil {
		return relay.Account{}, err
	}
	ms, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return relay.Account{}, errReply
	}
	return s.account(id, f[0], at(ms))
}

// accountFields reads fields of an account, "p" first; not_found without it.
func (s *Store) accountFields(ctx context.Context, id string, fields ...string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.total)
	defer cancel()
	v, err := s.rdb.HMGet(ctx, accountKeys(id).account(), fields...).Result()
	if err != nil {
		return nil, s.unavailable("account", err)
	}
	out := make([]string, len(v))
	for i := range v {
		out[i], _ = v[i].(string)
	}
	if out[0] == "" {
		return nil, relay.NewError(relay.NotFound, "there is no account with this id")
	}
	return out, nil
}

// Queue returns how an account's queue stands.
func (s *Store) Queue(ctx context.Context, account string) (relay.QueueStatus, error) {
	f, err := s.accountFields(ctx, account, "p", "q", "r")
	if err != nil {
		return relay.QueueStatus{}, err
	}
	p, err := parseProfile(f[0])
	if err != nil {
		return relay.QueueStatus{}, err
	}
	q := relay.QueueStatus{Backlog: backlog(f[1], f[2], p.overrides.Over(s.opt.Plans[p.plan].Limits))}
	ctx, cancel := context.WithTimeout(ctx, s.total)
	defer cancel()
	k := accountKeys(account)
	groups, err := s.rdb.XInfoGroups(ctx, k.stream()).Result()
	if err != nil || len(groups) != 1 {
		return q, s.unavailable("queue", cmp.Or(err, errReply))
	}
	pipe := s.rdb.Pipeline()
	first := pipe.XRangeN(ctx, k.stream(), "("+groups[0].LastDeliveredID, "+", 1)
	dead, now := pipe.XLen(ctx, k.dead()), pipe.Time(ctx)
	if _, err := pipe.Exec(ctx); err != nil {
		return q, s.unavailable("queue", err)
	}
	q.DeadLetters = dead.Val()
	if e := first.Val(); len(e) > 0 {
		q.OldestWaitingSeconds = int64(now.Val().Sub(idTime(e[0].ID)) / time.Second)
	}
	return q, nil
}

// idTime is the time in a stream entry's id.
func idTime(id string) time.Time {
	ms, _, _ := strings.Cut(id, "-")
	n, _ := strconv.ParseInt(ms, 10, 64) // Redis made it
	return at(n)
}

// Keys returns an account's keys.
func (s *Store) Keys(ctx context.Context, account string) (relay.KeyInventory, error) {
	f, err := s.accountFields(ctx, account, "p", "kr")
	if err != nil {
		return relay.KeyInventory{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.total)
	defer cancel()
	k, pipe := accountKeys(account), s.rdb.Pipeline()
	entries, used := pipe.HVals(ctx, k.keyInventory()), pipe.HGetAll(ctx, k.uses())
	if _, err := pipe.Exec(ctx); err != nil {
		return relay.KeyInventory{}, s.unavailable("keys", err)
	}
	return inventory(cmp.Or(f[1], "0"), entries.Val(), used.Val()) // no revision until the first key
}

// Devices returns an account's devices with what each has in flight.
func (s *Store) Devices(ctx context.Context, account string) ([]relay.Device, error) {
	if _, err := s.accountFields(ctx, account, "p"); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.total)
	defer cancel()
	entries, err := s.rdb.HVals(ctx, accountKeys(account).devices()).Result()
	if err != nil {
		return nil, s.unavailable("devices", err)
	}
	devices, err := decodeAll[relay.Device](entries)
	if err != nil || len(devices) == 0 {
		return devices, err
	}
	slices.SortFunc(devices, func(a, b relay.Device) int { return cmp.Or(a.LinkedAt.Compare(b.LinkedAt), cmp.Compare(a.ID, b.ID)) })
	fields := []string{"p"}
	for _, d := range devices {
		fields = append(fields, "f:"+d.ID)
	}
	inFlight, err := s.accountFields(ctx, account, fields...)
	if err != nil {
		return nil, err
	}
	for i := range devices {
		devices[i].InFlight, _ = strconv.ParseInt(inFlight[1+i], 10, 64) // absent until the first offer
	}
	return devices, nil
}

// DeadLetters lists an account's dead jobs, the latest first.
func (s *Store) DeadLetters(ctx context.Context, account, cursor string, limit int) (relay.Page[relay.DeadLetter], error) {
	return page(ctx, s, account, accountKeys(account).dead(), cursor, limit, func(m redis.XMessage) (relay.DeadLetter, error) {
		key, _ := m.Values["j"].(string)
		text, _ := m.Values["r"].(string)
		r, err := parseRecord(text)
		return relay.DeadLetter{
			JobID: relay.JobID(refOf(key), at(r.created)), IdempotencyKey: r.key, TrackingURL: r.url, Source: r.source, RowID: r.rowID,
			Attempts: r.attempts, Error: r.tail, CreatedAt: at(r.created), DiedAt: at(r.moment),
		}, err
	})
}

// Events lists an account's audit trail, the latest first.
func (s *Store) Events(ctx context.Context, account, cursor string, limit int) (relay.Page[relay.Event], error) {
	return page(ctx, s, account, accountKeys(account).events(), cursor, limit, func(m redis.XMessage) (relay.Event, error) {
		e := relay.Event{ID: m.ID, At: idTime(m.ID), About: map[string]string{}}
		for k, v := range m.Values {
			text, _ := v.(string)
			switch k {
			case "k":
				e.Kind = text
			case "a": // of a platform, the secret it signed with
				key, generation, secret := strings.Cut(text, ".")
				if e.Actor = key; secret {
					e.About["secretGeneration"] = generation
				}
			case "j":
				created, _ := m.Values["c"].(string)
				ms, err := strconv.ParseInt(created, 10, 64)
				if err != nil {
					return e, errReply
				}
				e.About["jobId"] = relay.JobID(refOf(text), at(ms))
			case "c":
			case "profile":
				p, err := parseProfile(text)
				if err != nil {
					return e, err
				}
				p.describe(e.About)
			default:
				e.About[k] = text
			}
		}
		return e, nil
	})
}

// entryID reports whether a text is the id of a stream's entry.
func entryID(text string) bool {
	ms, seq, ok := strings.Cut(text, "-")
	a, err1 := strconv.ParseUint(ms, 10, 64)
	b, err2 := strconv.ParseUint(seq, 10, 64)
	return ok && err1 == nil && err2 == nil && (a > 0 || b > 0)
}

// page reads a stream backwards from a cursor, the id of the last entry seen.
func page[T any](ctx context.Context, s *Store, account, stream, cursor string, limit int, item func(redis.XMessage) (T, error)) (relay.Page[T], error) {
	p := relay.Page[T]{Items: []T{}}
	if _, err := s.accountFields(ctx, account, "p"); err != nil {
		return p, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.total)
	defer cancel()
	from := "+"
	if cursor != "" {
		if !entryID(cursor) {
			return p, relay.Invalid([]relay.FieldError{{Pointer: "/query/cursor", Reason: "must be the next of the page before"}})
		}
		from = "(" + cursor
	}
	entries, err := s.rdb.XRevRangeN(ctx, stream, from, "-", int64(limit)).Result()
	if err != nil {
		return p, s.unavailable("page", err)
	}
	for _, m := range entries {
		v, err := item(m)
		if err != nil {
			return p, err
		}
		p.Items = append(p.Items, v)
	}
	if len(entries) == limit {
		p.Next = entries[limit-1].ID
	}
	return p, nil
}

// Redrive gives a dead job its life back: queued, with fresh attempts and its
// full lifetime. It works also after the record's retention, as long as the
// idempotency key has made no other job.
func (s *Store) Redrive(ctx context.Context, account, jobID string) (relay.Job, error) {
	return s.deadLetter(ctx, account, jobID, "redrive")
}

// DropDeadLetter forgets a dead letter; the job stays dead.
func (s *Store) DropDeadLetter(ctx context.Context, account, jobID string) error {
	_, err := s.deadLetter(ctx, account, jobID, "drop")
	return err
}

func (s *Store) deadLetter(ctx context.Context, account, jobID, verb string) (relay.Job, error) {
	ref, created, ok := relay.ParseJobID(jobID)
	if !ok {
		return relay.Job{}, refusal(string(relay.NotFound))
	}
	k := accountKeys(account)
	m, text, err := s.findDeadLetter(ctx, k, k.job(ref), created)
	if err != nil {
		return relay.Job{}, err
	}
	v, err := s.run(ctx, redriveScript, 1, k.life(k.job(ref)), account, operator, verb, m, text)
	if err != nil {
		return relay.Job{}, err
	}
	a := reply{v: v}
	if a.text(0) == string(relay.AlreadyExists) {
		return relay.Job{}, relay.NewError(relay.AlreadyExists, "the idempotency key has made another job since")
	}
	return a.lifeOutcome(ref)
}

// findDeadLetter walks the dead letters, of which there are at most deadMax.
func (s *Store) findDeadLetter(ctx context.Context, k accountKeys, jobKey string, created time.Time) (id, text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.total)
	defer cancel()
	for from := "+"; ; {
		entries, err := s.rdb.XRevRangeN(ctx, k.dead(), from, "-", 500).Result()
		if err != nil {
			return "", "", s.unavailable("dead letters", err)
		}
		for _, m := range entries {
			text, _ := m.Values["r"].(string)
			if r, err := parseRecord(text); m.Values["j"] == jobKey && err == nil && r.created == created.UnixMilli() {
				return m.ID, text, nil
			}
		}
		if len(entries) < 500 {
			return "", "", relay.NewError(relay.NotFound, "the account has no dead letter of this job")
		}
		from = "(" + entries[len(entries)-1].ID
	}
}

// audit records an operator's act that no script records.
func (s *Store) audit(ctx context.Context, account, kind string, about map[string]string) {
	values := []string{"k", kind, "a", operator}
	for k, v := range about {
		values = append(values, k, v)
	}
	err := s.rdb.XAdd(ctx, &redis.XAddArgs{Stream: accountKeys(account).events(), MaxLen: eventsMax, Approx: true, Values: values}).Err()
	if err != nil {
		s.log.Warn("an audit record was not written", zap.String("kind", kind), zap.Error(err))
	}
}
