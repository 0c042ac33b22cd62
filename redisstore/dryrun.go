package redisstore

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"linkrelay/relay"
)

// Check is what Admit would decide, by the same script, with nothing written:
// no nonce, no quota, no job. Admission.Job is set only when an earlier request
// made it.
func (s *Store) Check(ctx context.Context, c relay.Caller, r *relay.JobRequest) (relay.Admission, error) {
	k := accountKeys(c.Account)
	ref := relay.JobRef(c.Account, r.IdempotencyKey)
	by := newProof(c, ref)
	keys, body := admitKeys(k, by, ref), recordBody(r)
	var out relay.Admission
	err := s.withStanding(c.Account, func(st *standing) (string, error) {
		v, err := s.run(ctx, admitScript, 2, keys, admitArgs(c, by.op, r, body, st)...)
		if err != nil {
			return "", err
		}
		a := admitReply{reply: reply{v: v}, limits: st.limits}
		stale := a.stale()
		profile, err := a.read(ref, r, &out)
		if stale && relay.CodeOf(err) == relay.BacklogFull {
			waiting, unknown := s.waitingUnexpired(ctx, k)
			if unknown != nil {
				return "", unknown
			}
			if waiting < st.limits.MaxBacklog {
				return "", nil
			}
		}
		return profile, err
	})
	if !out.Replayed {
		out.Job = relay.Job{}
	}
	return out, err
}

// waitingUnexpired is how many jobs wait, without those that the settlement
// before an admission (see settle.lua) would find expired.
func (s *Store) waitingUnexpired(ctx context.Context, k accountKeys) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.total)
	defer cancel()
	pipe := s.rdb.Pipeline()
	fields, clock := pipe.HMGet(ctx, k.account(), "q", "sw"), pipe.Time(ctx)
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, s.unavailable("check", err)
	}
	now := clock.Val().UnixMilli()
	swept, ok := fields.Val()[1].(string)
	if !ok {
		swept = "0"
	}
	pipe = s.rdb.Pipeline()
	due := pipe.ZRangeByScore(ctx, k.due(), &redis.ZRangeBy{Min: "-inf", Max: strconv.FormatInt(now, 10), Count: settleMax})
	old := pipe.XRangeN(ctx, k.stream(), "("+swept, strconv.FormatInt(max(0, now-relay.DefaultExpiry.Milliseconds()), 10), settleMax)
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, s.unavailable("check", err)
	}
	entries := map[string]string{} // by job
	for _, key := range due.Val() {
		entries[key] = ""
	}
	for _, e := range old.Val() {
		key, _ := e.Values["j"].(string)
		entries[key] = e.ID
	}
	expired, err := s.expired(ctx, entries, now)
	waiting, _ := fields.Val()[0].(string)
	n, _ := strconv.ParseInt(waiting, 10, 64) // absent until the first job
	return n - expired, err
}

// expired counts the jobs that wait and have expired, and the entries of the
// stream that have outlived their job.
func (s *Store) expired(ctx context.Context, entries map[string]string, now int64) (n int64, err error) {
	if len(entries) == 0 {
		return 0, nil
	}
	keys := slices.Collect(maps.Keys(entries))
	records, err := s.rdb.MGet(ctx, keys...).Result()
	if err != nil {
		return 0, s.unavailable("check", err)
	}
	for i, key := range keys {
		var r record // of a job that is gone, nothing
		if text, ok := records[i].(string); ok {
			if r, err = parseRecord(text); err != nil {
				return 0, err
			}
		}
		entry := entries[key]
		waits := r.state == relay.Queued || r.state == relay.Offered
		if entry != "" && entry != r.entry || waits && r.expires() <= now {
			n++
		}
	}
	return n, nil
}
