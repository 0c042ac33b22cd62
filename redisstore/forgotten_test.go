package redisstore_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"linkrelay/relay"
)

// A desktop is switched off for longer than its jobs live and are retained, and
// nobody else of the account is there. When it comes back, none of them keeps a
// place, a count or an entry.
func TestJobsThatNobodyCameBackFor(t *testing.T) {
	onBoth(t, func(b *bench) {
		rdb := client(b.t, b.url)
		dev := b.device("d")
		api := b.platformOf(dev)
		s := b.connect(dev(), 2)
		for _, key := range []string{"running", "offered", "waiting", "waiting briefly"} {
			r := request(key)
			if key != "waiting briefly" {
				r.Expiry = relay.DefaultExpiry
			}
			b.must(b.s.Admit(b.t.Context(), api(), r))
		}
		d := b.claim(s, 2)
		b.acted(dev(), relay.Accept, d[0], relay.Running)
		b.retentionEnds(rdb)

		b.claim(s, 0)
		q, err := b.s.Quota(b.t.Context(), api())
		b.must(q, err)
		if q.Backlog.Waiting != 0 || q.Backlog.Running != 0 {
			b.t.Errorf("backlog %+v, want none", q.Backlog)
		}
		if entries, due := rdb.XLen(b.t.Context(), b.key(":s")).Val(), rdb.ZCard(b.t.Context(), b.key(":d")).Val(); entries != 0 || due != 0 {
			b.t.Errorf("%d entries and %d deadlines are left", entries, due)
		}
		b.admit(api(), "next")
		b.admit(api(), "after")
		b.claim(s, 2) // no place is taken
	})
}

// The backlog of an account without desktops does not stay full.
func TestBacklogThatNobodyCameBackFor(t *testing.T) {
	onBoth(t, func(b *bench) {
		rdb := client(b.t, b.url)
		api := b.platform()
		b.limits(relay.LimitOverrides{MaxBacklog: ptr(int64(2))})
		for _, key := range []string{"1", "2"} {
			r := request(key)
			r.Expiry = relay.DefaultExpiry
			b.must(b.s.Admit(b.t.Context(), api(), r))
		}
		wantCode(b.t, b.err(b.s.Admit(b.t.Context(), api(), request("3"))), relay.BacklogFull)
		b.retentionEnds(rdb)
		b.entriesAge(rdb)
		b.admit(api(), "1") // the key is free again, and not taken for the entry's job
		b.admit(api(), "3")
		wantCode(b.t, b.err(b.s.Admit(b.t.Context(), api(), request("4"))), relay.BacklogFull)
	})
}

// retentionEnds makes of the account's jobs what is left of them when all their
// times have passed: what Redis was told to forget is gone, and every deadline
// lies behind.
func (b *bench) retentionEnds(rdb *redis.Client) {
	b.t.Helper()
	ctx := b.t.Context()
	jobs, err := rdb.Keys(ctx, b.key(":j:*")).Result()
	b.must(jobs, err)
	for _, key := range jobs {
		if rdb.TTL(ctx, key).Val() > 0 {
			b.must(rdb.Del(ctx, key).Result())
			continue
		}
		b.shortens(rdb, key)
	}
	for _, key := range rdb.ZRange(ctx, b.key(":d"), 0, -1).Val() {
		b.must(rdb.ZAdd(ctx, b.key(":d"), redis.Z{Score: 1, Member: key}).Result())
	}
}

// shortens gives a job's record a lifetime that is over.
func (b *bench) shortens(rdb *redis.Client, jobKey string) {
	b.t.Helper()
	head, body, _ := strings.Cut(rdb.Get(b.t.Context(), jobKey).Val(), "\n")
	f := strings.Fields(head)
	f[2] = "1" // its lifetime
	b.must(rdb.Set(b.t.Context(), jobKey, strings.Join(f, " ")+"\n"+body, redis.KeepTTL).Result())
}

// expires lets a job that is in due expire now.
func (b *bench) expires(rdb *redis.Client, idempotencyKey string) {
	b.t.Helper()
	jobKey := b.key(":j:" + relay.JobRef(b.account, idempotencyKey))
	b.shortens(rdb, jobKey)
	b.must(rdb.ZAddXX(b.t.Context(), b.key(":d"), redis.Z{Score: 1, Member: jobKey}).Result())
}

// entriesAge gives the entries of the account's stream, none of them delivered,
// the ids of a time long ago.
func (b *bench) entriesAge(rdb *redis.Client) {
	b.t.Helper()
	ctx := b.t.Context()
	entries, err := rdb.XRange(ctx, b.key(":s"), "-", "+").Result()
	b.must(entries, err)
	b.must(rdb.Del(ctx, b.key(":s")).Result())
	for i, e := range entries {
		b.must(rdb.XAdd(ctx, &redis.XAddArgs{Stream: b.key(":s"), ID: "1-" + strconv.Itoa(i), Values: e.Values}).Result())
	}
	b.must(rdb.XGroupCreate(ctx, b.key(":s"), "relay", "0").Result())
}
