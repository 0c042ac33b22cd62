package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"linkrelay/redisstore"
	"linkrelay/relay"
)

const (
	rounds      = 5
	slice       = 2 * time.Second
	connections = 64
)

// admission measures A1, A2 and A4: the relay, the same chain without its
// admission step, and the straightforward way, in turns.
func admission(ctx context.Context, dir string) ([]figure, error) {
	w, err := newWorld(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer w.close()
	var sequence atomic.Int64
	sequence.Store(100_000)
	var loads []load
	for _, admit := range []interface {
		Admit(context.Context, relay.Caller, *relay.JobRequest) (relay.Admission, error)
	}{w.store, bare{}, &fiveTrips{redis: w.redis, key: "five"}} {
		addr, stop, err := w.serve(swapped{w.store, admit.Admit})
		if err != nil {
			return nil, err
		}
		defer stop()
		loads = append(loads, load{addr, w.signer, connections, &sequence})
	}
	for _, l := range loads { // warm-up
		if _, err := l.run(ctx, slice/2); err != nil {
			return nil, err
		}
	}
	var overBare, overFive []float64
	var last [3]float64
	var trips, commands float64
	for range rounds {
		for i, l := range loads {
			before, err := commandCounts(ctx, w.redis)
			if err != nil {
				return nil, err
			}
			if last[i], err = l.run(ctx, slice); err != nil {
				return nil, err
			}
			if i == 0 {
				after, err := commandCounts(ctx, w.redis)
				if err != nil {
					return nil, err
				}
				trips, commands = perAdmission(before, after)
			}
			if err := w.redis.Del(ctx, "five:jobs").Err(); err != nil {
				return nil, err
			}
		}
		overBare, overFive = append(overBare, last[0]/last[1]), append(overFive, last[0]/last[2])
	}
	note := fmt.Sprintf("last round: %.0f/s relay, %.0f/s bare, %.0f/s five round trips; median of %d", last[0], last[1], last[2], rounds)
	return []figure{
		{id: "A1", what: "signed admissions over the bare handler chain", value: median(overBare), target: 0.60, note: note},
		{id: "A2", what: "signed admissions over five round trips", value: median(overFive), target: 2.2},
		{id: "A4", what: "round trips per admission", value: trips, target: 1, most: true, required: true},
		{id: "A4", what: "commands inside the script", value: commands, target: 8, most: true, required: true, note: "from INFO commandstats"},
	}, nil
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// swapped is the store with another admission step.
type swapped struct {
	*redisstore.Store
	admit func(context.Context, relay.Caller, *relay.JobRequest) (relay.Admission, error)
}

func (s swapped) Admit(ctx context.Context, c relay.Caller, r *relay.JobRequest) (relay.Admission, error) {
	return s.admit(ctx, c, r)
}

// bare admits everything at once.
type bare struct{}

func (bare) Admit(_ context.Context, c relay.Caller, r *relay.JobRequest) (relay.Admission, error) {
	return admitted(c, r, time.Now().UTC().Truncate(time.Millisecond)), nil
}

// admitted is an answer like the relay's, rate limits included.
func admitted(c relay.Caller, r *relay.JobRequest, now time.Time) relay.Admission {
	window := relay.Window{Name: "day", Limit: relay.MaxLimit, Used: 1, Remaining: relay.MaxLimit - 1, ResetSecs: 1, Length: 24 * time.Hour}
	return relay.Admission{
		Job: relay.Job{ID: relay.JobID(relay.JobRef(c.Account, r.IdempotencyKey), now), State: relay.Queued, IdempotencyKey: r.IdempotencyKey,
			Source: r.Source, RowID: r.RowID, CreatedAt: now, ExpiresAt: now.Add(r.Expiry)},
		Windows: []relay.Window{window, window, window},
	}
}

// fiveTrips is what one writes first: a look-up, SETNX, SETNX, EVAL and XADD,
// each a round trip of its own on the same client library, pool and timeouts.
// That concurrent admissions share round trips is part of what is compared.
type fiveTrips struct {
	redis *redis.Client
	key   string
}

const countQuota = `
local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
if n > tonumber(ARGV[2]) then redis.call('DECR', KEYS[1]) return 0 end
return 1`

func (f *fiveTrips) Admit(ctx context.Context, c relay.Caller, r *relay.JobRequest) (relay.Admission, error) {
	account, err := f.redis.HGetAll(ctx, f.key+":account:"+c.Account).Result()
	if err != nil || len(account) != 0 { // the benchmark's account has no row: what is measured is the look-up
		return relay.Admission{}, fmt.Errorf("look-up: %v %w", account, err)
	}
	fresh, err := f.redis.SetNX(ctx, f.key+":nonce:"+c.KeyID+":"+c.Nonce, 1, c.NonceTTL).Result()
	if err != nil || !fresh {
		return relay.Admission{}, fmt.Errorf("nonce: %t %w", fresh, err)
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	a := admitted(c, r, now)
	if fresh, err = f.redis.SetNX(ctx, f.key+":idempotency:"+c.Account+":"+r.IdempotencyKey, a.Job.ID, 24*time.Hour).Result(); err != nil || !fresh {
		return relay.Admission{}, fmt.Errorf("idempotency: %t %w", fresh, err)
	}
	if n, err := f.redis.Eval(ctx, countQuota, []string{f.key + ":quota"}, 60_000, int64(relay.MaxLimit)).Int(); err != nil || n != 1 {
		return relay.Admission{}, fmt.Errorf("quota: %d %w", n, err)
	}
	err = f.redis.XAdd(ctx, &redis.XAddArgs{Stream: f.key + ":jobs", Values: []any{"id", a.Job.ID, "key", r.IdempotencyKey, "url", r.TrackingURL, "source", r.Source, "row", r.RowID}}).Err()
	return a, err
}

// commandCounts reads how often each command ran.
func commandCounts(ctx context.Context, c *redis.Client) (map[string]float64, error) {
	text, err := c.Info(ctx, "commandstats").Result()
	if err != nil {
		return nil, err
	}
	counts := map[string]float64{}
	for line := range strings.Lines(text) {
		var n float64
		name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":")
		if ok && strings.HasPrefix(rest, "calls=") {
			if _, err := fmt.Sscanf(rest, "calls=%f,", &n); err != nil {
				return nil, err
			}
			counts[name] = n
		}
	}
	return counts, nil
}

// perAdmission is round trips and inner commands for each job admitted: each
// writes its account once. What the benchmark itself asks is left out.
func perAdmission(before, after map[string]float64) (trips, inside float64) {
	jobs := after["hset"] - before["hset"]
	for name, n := range after {
		n -= before[name]
		switch name {
		case "info", "del", "ping", "client|setinfo", "hello":
		case "evalsha":
			trips += n / jobs
		default:
			inside += n / jobs
		}
	}
	return trips, inside
}
