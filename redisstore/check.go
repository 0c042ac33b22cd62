package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// check refuses a Redis that would lose or misjudge jobs, and warns of one
// that may. Every refusal names the variable and the remedy.
func (s *Store) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	before := time.Now()
	now, err := s.rdb.Time(ctx).Result()
	if err != nil {
		return startError(err)
	}
	s.clock.observe(now.UnixMilli())
	if s.opt.Embedded {
		return nil
	}
	if off := now.Sub(before.Add(time.Since(before) / 2)).Abs(); off > 2*time.Second {
		s.log.Warn("the clock of this machine and of Redis differ; set both by NTP: signatures are judged by this one, leases and quotas by Redis'",
			zap.Duration("difference", off.Round(time.Millisecond)))
	}
	text, err := s.rdb.Info(ctx).Result()
	if err != nil {
		return startError(err)
	}
	info := parseInfo(text)
	if !supported(info) {
		return fmt.Errorf("RELAY_REDIS_URL: the server is version %s; the relay needs Redis 7.0 or Valkey 8.0 or newer: upgrade it", version(info))
	}
	if info["role"] == "slave" && info["slave_read_only"] != "0" {
		return errors.New("RELAY_REDIS_URL: the server is a read-only replica of another, and the relay writes with every request; name the primary")
	}
	if s.opt.Durability == DurabilityReplica && info["connected_slaves"] == "0" {
		s.log.Warn("RELAY_DURABILITY=replica, and Redis has no replica connected: while that is so every admission is answered 503; attach one, or choose none")
	}
	if s.opt.Durability == DurabilityFsync && !atLeast(info["redis_version"], 7, 2) {
		return fmt.Errorf("RELAY_DURABILITY=fsync: needs WAITAOF of Redis 7.2, and the server is %s; upgrade it or choose replica or none", version(info))
	}
	if s.opt.Durability == DurabilityFsync && info["aof_enabled"] == "0" {
		return errors.New("RELAY_DURABILITY=fsync: the server keeps no append-only file, so nothing could ever be confirmed; set appendonly yes on it or choose replica or none")
	}
	if p := info["maxmemory_policy"]; p != "" && p != "noeviction" {
		return fmt.Errorf("RELAY_REDIS_URL: the server's maxmemory-policy is %s: it would throw away jobs and nonces when memory is short; CONFIG SET maxmemory-policy noeviction", p)
	}
	if info["aof_enabled"] == "0" {
		s.log.Warn("Redis keeps no append-only file: a restart of it loses the jobs since its last snapshot; set appendonly yes")
	}
	return nil
}

// sample is what checkSeals seals.
const sample = "linkrelay"

// checkSeals refuses to start with key-encryption keys that do not open what is
// sealed in this Redis: everything signed would be answered 500, and new
// secrets would be sealed with a key that no other replica has.
func (s *Store) checkSeals(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.total)
	defer cancel()
	ring := s.opt.Keyring
	samples, err := s.rdb.HGetAll(ctx, sealsKey).Result()
	if err != nil {
		return startError(err)
	}
	for id, sealed := range samples {
		if _, held := ring.aeads[id]; !held {
			return fmt.Errorf("RELAY_SECRET_KEYS: secrets in this Redis are sealed with key %q, which is not among them; put it back behind the first (or, when nothing it sealed matters any more, HDEL %s %s)", id, sealsKey, id)
		}
		if _, err := ring.open(sealed, sealsKey); err != nil {
			return fmt.Errorf("RELAY_SECRET_KEYS: key %q is not the one that sealed the secrets in this Redis; give the original under that id, and a new key an id of its own", id)
		}
	}
	if _, used := samples[ring.first]; used {
		return nil
	}
	if err := s.rdb.HSetNX(ctx, sealsKey, ring.first, ring.seal(sample, sealsKey)).Err(); err != nil {
		return startError(err)
	}
	return nil
}

// startError says what to do about a Redis that does not answer at the start.
func startError(err error) error {
	var reply redis.Error
	var network net.Error
	switch {
	case redis.HasErrorPrefix(err, "NOAUTH"), redis.HasErrorPrefix(err, "WRONGPASS"):
		return errors.New("RELAY_REDIS_URL: Redis refuses the credentials; give them as redis://user:password@host:port")
	case redis.HasErrorPrefix(err, "NOPERM"):
		return errors.New("RELAY_REDIS_URL: the Redis user lacks rights; it needs TIME, INFO, PING, SCRIPT LOAD, EVALSHA, SUBSCRIBE and all commands on ~lr:* and the channel &lr:bell")
	case errors.As(err, &reply):
		return fmt.Errorf("RELAY_REDIS_URL: Redis answered the first command with an error; wait until it is ready or mend it: %w", err)
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("RELAY_REDIS_URL: Redis cannot be reached; check host, port, TLS (rediss://) and that the server runs: %w", err)
	}
	return fmt.Errorf("RELAY_REDIS_URL: Redis does not answer: %w", err)
}

func parseInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[k] = v
		}
	}
	return info
}

// supported reports Redis ≥ 7.0 or Valkey ≥ 8.0 (which calls itself Redis 7.2).
func supported(info map[string]string) bool {
	if v := info["valkey_version"]; v != "" {
		return atLeast(v, 8, 0)
	}
	return atLeast(info["redis_version"], 7, 0)
}

func version(info map[string]string) string {
	if v := info["valkey_version"]; v != "" {
		return "Valkey " + v
	}
	return "Redis " + info["redis_version"]
}

func atLeast(version string, major, minor int) bool {
	a, rest, _ := strings.Cut(version, ".")
	b, _, _ := strings.Cut(rest, ".")
	x, err1 := strconv.Atoi(a)
	y, err2 := strconv.Atoi(b)
	return err1 == nil && err2 == nil && (x > major || x == major && y >= minor)
}
