package redisstore_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"linkrelay/internal/redistest"
	"linkrelay/relay"
)

// commandCalls are the calls of each command since the last reset.
func commandCalls(t *testing.T, rdb *redis.Client) map[string]int {
	t.Helper()
	text, err := rdb.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]int{}
	for _, m := range regexp.MustCompile(`cmdstat_([^:]+):calls=(\d+)`).FindAllStringSubmatch(text, -1) {
		calls[m[1]], _ = strconv.Atoi(m[2])
	}
	for _, ours := range []string{"info", "config|resetstat", "ping"} { // the test's, and the subscription's heartbeat
		delete(calls, ours)
	}
	return calls
}

// An admission is one round trip of at most eight commands; a refusal writes
// nothing and costs less.
func TestCostOfAnAdmission(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb := server.Client(t)
	b := newBench(t, open(t, server.URL()))
	api := b.platform()
	b.admit(api(), "first") // the replica gets to know the account
	const n = 50
	measure := func(what string, admit func(i int)) (perCall float64, calls map[string]int) {
		t.Helper()
		if err := rdb.ConfigResetStat(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			admit(i)
		}
		calls = commandCalls(t, rdb)
		if calls["evalsha"] != n {
			t.Errorf("%s: %d round trips for %d", what, calls["evalsha"], n)
		}
		delete(calls, "evalsha")
		sum := 0
		for _, c := range calls {
			sum += c
		}
		return float64(sum) / n, calls
	}
	admit := func(key string, expiry time.Duration) relay.Code {
		r := request(key)
		r.Expiry = expiry
		c := api()
		if strings.HasPrefix(key, "single-use") {
			c.Once = key
		}
		admit := b.s.Admit
		if strings.HasPrefix(key, "tried out") {
			admit = b.s.Check
		}
		_, err := admit(context.Background(), c, r)
		if err == nil {
			return ""
		}
		return relay.CodeOf(err)
	}
	for _, tc := range []struct {
		what   string
		limits relay.LimitOverrides
		expiry time.Duration
		most   float64
		want   relay.Code
	}{
		{"usual", relay.LimitOverrides{}, relay.DefaultExpiry, 7, ""},
		{"tried out", relay.LimitOverrides{}, relay.DefaultExpiry, 4, ""},
		{"single-use", relay.LimitOverrides{}, relay.DefaultExpiry, 11, ""},
		{"of another lifetime", relay.LimitOverrides{}, time.Hour, 8, ""},
		{"retry", relay.LimitOverrides{}, time.Hour, 8, ""},
		{"over quota", relay.LimitOverrides{PerDay: ptr(int64(1))}, time.Hour, 8, relay.QuotaExceeded},
	} {
		b.limits(tc.limits)
		admit("settle "+tc.what, tc.expiry) // the changed account is seen
		name := tc.what
		if name == "retry" {
			name = "of another lifetime"
		}
		perCall, calls := measure(tc.what, func(i int) {
			key := fmt.Sprint(name, i)
			if tc.want != "" {
				key = "new " + key
			}
			if got := admit(key, tc.expiry); got != tc.want {
				t.Errorf("%s: %q, want %q", tc.what, got, tc.want)
			}
		})
		t.Logf("%s: %.1f commands: %v", tc.what, perCall, calls)
		if perCall > tc.most {
			t.Errorf("%s: %.1f commands within one admission, at most %.0f: %v", tc.what, perCall, tc.most, calls)
		}
		for command := range calls {
			if (tc.want != "" || tc.what == "tried out") && slices.Contains([]string{"set", "hset", "xadd", "zadd", "del", "publish"}, command) {
				t.Errorf("%s writes: %v", tc.what, calls)
			}
		}
	}
}
