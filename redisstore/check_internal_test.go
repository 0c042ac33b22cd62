package redisstore

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"linkrelay/relay"
)

func TestSupportedVersions(t *testing.T) {
	for _, tc := range []struct {
		info string
		ok   bool
		name string
	}{
		{"redis_version:7.0.0", true, "Redis 7.0.0"},
		{"redis_version:7.0.15", true, "Redis 7.0.15"},
		{"redis_version:8.4.1", true, "Redis 8.4.1"},
		{"redis_version:10.0", true, "Redis 10.0"},
		{"redis_version:6.2.14", false, "Redis 6.2.14"},
		{"redis_version:6.99.0", false, "Redis 6.99.0"},
		{"redis_version:255.255.255", true, "Redis 255.255.255"}, // built from a branch
		{"redis_version:7", false, "Redis 7"},
		{"redis_version:", false, "Redis "},
		{"redis_version:x.y", false, "Redis x.y"},
		{"", false, "Redis "},
		{"redis_version:7.2.4\r\nvalkey_version:8.0.1", true, "Valkey 8.0.1"},
		{"redis_version:7.2.4\r\nvalkey_version:7.2.5", false, "Valkey 7.2.5"},
		{"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.0", true, "Valkey 9.1.0"},
	} {
		info := parseInfo("# Server\r\n" + tc.info + "\r\n\r\n# Clients\r\n")
		if got := supported(info); got != tc.ok {
			t.Errorf("%q: supported %t, want %t", tc.info, got, tc.ok)
		}
		if got := version(info); got != tc.name {
			t.Errorf("%q calls itself %q, want %q", tc.info, got, tc.name)
		}
	}
}

func TestAtLeast(t *testing.T) {
	for _, tc := range []struct {
		version      string
		major, minor int
		want         bool
	}{
		{"7.2.0", 7, 2, true}, {"7.10.0", 7, 2, true}, {"7.1.9", 7, 2, false}, {"8.0", 7, 2, true},
		{"6.9", 7, 2, false}, {"7.2-rc1", 7, 2, false}, {"-7.2", 7, 2, false}, {"", 0, 0, false},
	} {
		if got := atLeast(tc.version, tc.major, tc.minor); got != tc.want {
			t.Errorf("%q at least %d.%d: %t", tc.version, tc.major, tc.minor, got)
		}
	}
}

type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

// An outage is told from a mistake of ours by what Redis says: callers retry
// the one, and the other must be seen.
func TestWhatAFailureMeans(t *testing.T) {
	var s Store
	for _, tc := range []struct {
		err  error
		want relay.Code
	}{
		{redisError("LOADING Redis is loading the dataset in memory"), relay.StoreUnavailable},
		{redisError("READONLY You can't write against a read only replica. script: abc, on @user_script:1."), relay.StoreUnavailable},
		{redisError("MASTERDOWN Link with MASTER is down"), relay.StoreUnavailable},
		{redisError("CLUSTERDOWN Hash slot not served"), relay.StoreUnavailable},
		{redisError("OOM command not allowed when used memory > 'maxmemory'."), relay.StoreUnavailable},
		{redisError("MISCONF Redis is configured to save RDB snapshots"), relay.StoreUnavailable},
		{redisError("BUSY Redis is busy running a script."), relay.StoreUnavailable},
		{redisError("NOREPLICAS Not enough good replicas to write."), relay.StoreUnavailable},
		{redisError("NOAUTH Authentication required."), relay.StoreUnavailable},
		{redisError("ERR max number of clients reached"), relay.StoreUnavailable},
		{io.EOF, relay.StoreUnavailable},
		{context.DeadlineExceeded, relay.StoreUnavailable},
		{context.Canceled, relay.StoreUnavailable},
		{os.ErrDeadlineExceeded, relay.StoreUnavailable},
		{&net.OpError{Op: "dial", Err: errors.New("connection refused")}, relay.StoreUnavailable},
		{redis.ErrPoolTimeout, relay.StoreUnavailable},
		{redis.ErrAutoPipelineQueueFull, relay.Overloaded},
		{redisError("ERR user_script:7: attempt to index a nil value"), relay.InternalError},
		{redisError("WRONGTYPE Operation against a key holding the wrong kind of value"), relay.InternalError},
	} {
		err := s.unavailable("admit", tc.err)
		e, ok := errors.AsType[*relay.Error](err)
		got := relay.InternalError
		if ok {
			got = e.Code
		}
		if got != tc.want {
			t.Errorf("%v became %s, want %s", tc.err, got, tc.want)
		}
		if ok && strings.Contains(e.Detail, tc.err.Error()) {
			t.Errorf("the caller sees %q", e.Detail)
		}
		if !errors.Is(err, tc.err) {
			t.Errorf("%v lost its cause", err)
		}
	}
}

// Every outcome that a script may answer has its sentence, in the catalogue's
// words or not at all.
func TestRefusals(t *testing.T) {
	for code := range refusals {
		if got := relay.CodeOf(refusal(string(code))); got != code {
			t.Errorf("%s became %s", code, got)
		}
	}
	for outcome, f := range finer {
		e, ok := errors.AsType[*relay.Error](refusal(outcome))
		if !ok || e.Code != f.code || e.Detail == refusals[f.code] {
			t.Errorf("%s became %v", outcome, e)
		}
	}
	if _, ok := errors.AsType[*relay.Error](refusal("no such outcome")); ok {
		t.Error("an outcome that nobody knows was shown to the caller")
	}
}
