package redisstore_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"linkrelay/internal/redistest"
	"linkrelay/redisstore"
	"linkrelay/relay"
)

const startPassword = "correct-horse-battery-staple"

// refused opens a store that must not open, and returns why.
func refused(t *testing.T, url string, change ...func(*redisstore.Options)) string {
	t.Helper()
	start := time.Now()
	s, err := redisstore.Open(context.Background(), options(t, url, change...))
	if err == nil {
		_ = s.Close()
		t.Fatal("the store opened")
	}
	if took := time.Since(start); took > 6*time.Second {
		t.Errorf("the refusal took %s", took)
	}
	if strings.Contains(err.Error(), startPassword) {
		t.Errorf("the password is in %q", err)
	}
	return err.Error()
}

func says(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q does not say %q", text, p)
		}
	}
}

func TestNoRedisAtTheAddress(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "localhost:6379", "http://:" + startPassword + "@localhost:6379", "rediss//x:" + startPassword + "@y",
		"redis://u:" + startPassword + "@host:port", "redis://u:" + startPassword + "@host:6379/x", "redis://u:" + startPassword + "@%zz"} {
		says(t, refused(t, url), "RELAY_REDIS_URL: not a Redis address; give redis://")
	}
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent := l.Addr().String() // accepts, never answers
	t.Cleanup(func() { _ = l.Close() })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, url := range map[string]string{
		"port closed":     "redis://:" + startPassword + "@" + nobody,
		"silent":          "redis://:" + startPassword + "@" + silent,
		"no such host":    "redis://:" + startPassword + "@no-such-host.invalid:6379",
		"TLS to a plain":  "rediss://:" + startPassword + "@" + strings.TrimPrefix(servers["redis"], "redis://"),
		"silent with TLS": "rediss://:" + startPassword + "@" + silent,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			says(t, refused(t, url), "RELAY_REDIS_URL: Redis cannot be reached; check host, port, TLS (rediss://) and that the server runs")
		})
	}
}

func TestCredentialsAreRefused(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	if err := server.Client(t).ConfigSet(t.Context(), "requirepass", startPassword+"1").Err(); err != nil {
		t.Fatal(err)
	}
	for name, user := range map[string]string{"none": "", "wrong password": ":" + startPassword + "@", "wrong user": "u:" + startPassword + "@"} {
		t.Run(name, func(t *testing.T) {
			says(t, refused(t, "redis://"+user+server.Addr), "RELAY_REDIS_URL: Redis refuses the credentials; give them as redis://user:password@host:port")
		})
	}
	open(t, "redis://:"+startPassword+"1@"+server.Addr)
}

func TestUserWithoutRights(t *testing.T) {
	t.Parallel()
	for name, rights := range map[string][]string{
		"nothing":    {"-@all"},
		"no scripts": {"+@all", "-script", "~*", "&*"},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			c := server.Client(t)
			args := []any{"acl", "setuser", "relay", "on", ">" + startPassword}
			for _, r := range rights {
				args = append(args, r)
			}
			if err := c.Do(t.Context(), args...).Err(); err != nil {
				t.Fatal(err)
			}
			says(t, refused(t, "redis://relay:"+startPassword+"@"+server.Addr), "RELAY_REDIS_URL: ", "SCRIPT LOAD", "EVALSHA")
		})
	}
}

// The rights that the message asks for are enough for the whole life of a job.
func TestRightsThatAreEnough(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	if err := server.Client(t).Do(t.Context(), "acl", "setuser", "relay", "on", ">"+startPassword, "~lr:*", "&lr:bell", "+@all", "-@admin", "-@dangerous", "+info").Err(); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, open(t, "redis://relay:"+startPassword+"@"+server.Addr))
	dev := b.device("d")
	api := b.platformOf(dev)
	s := b.connect(dev(), 4)
	b.claim(s, 0)
	drainWake(s)
	b.admit(api(), "k")
	d := b.claimOnWake(s, 1)[0]
	b.acted(dev(), "complete", d, "succeeded")
	b.must(b.s.Queue(t.Context(), b.account))
}

func TestServerThatThrowsKeysAway(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"allkeys-lru", "volatile-ttl"} {
		server := redistest.Start(t, "--maxmemory-policy", policy)
		says(t, refused(t, server.URL()), "RELAY_REDIS_URL: ", "maxmemory-policy is "+policy, "CONFIG SET maxmemory-policy noeviction")
	}
}

// as lets the server call itself another version, of the same length.
func as(t *testing.T, replace ...string) string {
	t.Helper()
	p := newProxy(t, servers["redis"])
	p.rewrite = strings.NewReplacer(replace...)
	return p.url()
}

func TestServerTooOld(t *testing.T) {
	t.Parallel()
	const real = "redis_version:7.0.15\r\nredis_git_sha1:00000000\r\n"
	info, err := client(t, servers["redis"]).Info(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(info, real) {
		t.Skipf("the redis-server here is not the 7.0.15 whose INFO this test rewrites: %.60q", info)
	}
	says(t, refused(t, as(t, "redis_version:7.0.15", "redis_version:6.2.15")),
		"RELAY_REDIS_URL: the server is version Redis 6.2.15", "needs Redis 7.0 or Valkey 8.0 or newer", "upgrade it")
	says(t, refused(t, as(t, real, "redis_version:7.2.4\r\nvalkey_version:7.2.10\r\nx\r\n")), "Valkey 7.2.10", "upgrade it")
	open(t, as(t, real, "redis_version:7.2.4\r\nvalkey_version:8.0.10\r\nx\r\n"))

	fsync := func(o *redisstore.Options) { o.Durability = redisstore.DurabilityFsync }
	says(t, refused(t, servers["redis"], fsync), "RELAY_DURABILITY=fsync", "Redis 7.2", "7.0.15", "choose replica or none")
	says(t, refused(t, as(t, "redis_version:7.0.15", "redis_version:7.2.15"), fsync), "RELAY_DURABILITY=fsync", "append-only file", "appendonly yes")
	open(t, as(t, "redis_version:7.0.15", "redis_version:7.2.15", "aof_enabled:0", "aof_enabled:1"), fsync)
}

// warnings opens a store and returns what its start warns of.
func warnings(t *testing.T, url string, change ...func(*redisstore.Options)) string {
	t.Helper()
	core, logs := observer.New(zapcore.WarnLevel)
	open(t, url, append(change, func(o *redisstore.Options) { o.Log = zap.New(core) })...)
	var text strings.Builder
	for _, e := range logs.All() {
		text.WriteString(e.Message + "\n")
	}
	return text.String()
}

// What only may lose jobs is said, and does not stop the start.
func TestServerThatForgetsIsWarnedOf(t *testing.T) {
	t.Parallel()
	says(t, warnings(t, servers["redis"]), "keeps no append-only file", "set appendonly yes")
	if got := warnings(t, redistest.Start(t, "--appendonly", "yes").URL()); got != "" {
		t.Errorf("a server as it should be is warned of: %q", got)
	}
}

// A replica takes no writes, and without one nothing is ever confirmed by one.
func TestReplicasOfTheServer(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t, "--appendonly", "yes")
	durable := func(o *redisstore.Options) { o.Durability = redisstore.DurabilityReplica }
	says(t, warnings(t, primary.URL(), durable), "RELAY_DURABILITY=replica", "no replica connected", "attach one, or choose none")

	host, port, _ := strings.Cut(primary.Addr, ":")
	replica := redistest.Start(t, "--replicaof", host+" "+port)
	says(t, refused(t, replica.URL()), "RELAY_REDIS_URL: ", "read-only replica", "name the primary")
	waitUntil(t, func() bool {
		info, err := primary.Client(t).Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "connected_slaves:1")
	})
	if got := warnings(t, primary.URL(), durable); got != "" {
		t.Errorf("a server with a replica is warned of: %q", got)
	}
}

// A server that loads its data set answers everything with an error.
func TestServerNotReady(t *testing.T) {
	t.Parallel()
	says(t, refused(t, fakeRedis(t, "-LOADING Redis is loading the dataset in memory\r\n")), "RELAY_REDIS_URL: ", "wait until it is ready", "LOADING")
	says(t, refused(t, fakeRedis(t, "HTTP/1.1 400 Bad Request\r\n\r\n")), "RELAY_REDIS_URL: ")
}

// fakeRedis answers whatever comes with one text.
func fakeRedis(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 4096)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					for range strings.Count("\r\n"+string(buf[:n]), "\r\n*") {
						_, _ = c.Write([]byte(answer))
					}
				}
			}()
		}
	}()
	return "redis://" + l.Addr().String()
}

// All scripts are on the server under the names the store uses, on both kinds.
func TestScriptsAreLoadedAtTheStart(t *testing.T) {
	t.Parallel()
	for name, url := range servers {
		open(t, url)
		c := client(t, url)
		for script, sha := range redisstore.ScriptSHAs() {
			if found, err := c.ScriptExists(t.Context(), sha).Result(); err != nil || len(found) != 1 || !found[0] {
				t.Errorf("%s: %s is not loaded: %v", name, script, err)
			}
		}
	}
}

// Serial: it counts goroutines.
func TestNothingIsLeftBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	for name, url := range servers {
		s, err := redisstore.Open(context.Background(), options(t, url))
		if err != nil {
			t.Fatal(err)
		}
		b := newBench(t, s)
		dev := b.device("d")
		api := b.platformOf(dev)
		session, err := s.Connect(t.Context(), dev(), 4)
		b.must(session, err)
		b.claim(session, 0)
		job := b.admit(api(), "k")
		b.claimOnWake(session, 1)
		ctx, gone := context.WithCancel(t.Context())
		waiting := make(chan error, 1)
		go func() { waiting <- b.err(s.Job(ctx, api(), job.ID, time.Minute)) }()
		waitUntil(t, func() bool { return watched(b, url, "k") })
		gone() // a caller that hangs up
		if err := <-waiting; err != nil {
			t.Error(err)
		}
		session.Close()
		session.Close() // again: no harm
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, url := range []string{"redis://127.0.0.1:1", fakeRedis(t, "-LOADING\r\n")} {
		if _, err := redisstore.Open(context.Background(), options(t, url)); err == nil {
			t.Fatal("it opened")
		}
	}
	// go-redis keeps the connection pool's workers for a moment after Close.
	if err := goleak.Find(before, goleak.IgnoreAnyFunction("linkrelay/redisstore_test.fakeRedis.func2")); err != nil {
		t.Error(err)
	}
}

// watched reports whether somebody waits for the job of the idempotency key.
func watched(b *bench, url, key string) bool {
	o, err := redis.ParseURL(url)
	b.must(o, err)
	rdb := redis.NewClient(o)
	defer func() { _ = rdb.Close() }()
	text := rdb.Get(context.Background(), b.key(":j:"+relay.JobRef(b.account, key))).Val()
	head, _, _ := strings.Cut(text, "\n")
	return strings.HasSuffix(head, " 1")
}
