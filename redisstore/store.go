// Package redisstore is every byte that goes to Redis: key names, scripts, the
// store's methods and the wake-ups of connected desktops. Each method on behalf
// of a signed request is one script, which checks the key's state and the nonce
// in the same step that acts.
package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.uber.org/zap"

	"linkrelay/quota"
)

// Durability says what a 202 waits for (DESIGN §5).
type Durability string

// The levels of durability.
const (
	DurabilityNone    Durability = "none"    // the script's answer
	DurabilityReplica Durability = "replica" // WAIT: one replica has it
	DurabilityFsync   Durability = "fsync"   // WAITAOF (Redis 7.2): it is on this server's disk
)

// Options configure a store. All fields but Durability, Log and UsesEvery are required.
type Options struct {
	URL         string // redis:// or rediss://
	Keyring     *Keyring
	Plans       quota.Plans
	Lease       time.Duration // how long an accepted delivery is held between extends
	Offer       time.Duration // how long an offer waits for its accept
	MaxAttempts int           // accepted deliveries before a job is dead
	Durability  Durability    // "" is none
	Embedded    bool          // an in-process server: start-up checks that only a real one answers are left out
	Log         *zap.Logger   // nil logs nothing
	UsesEvery   time.Duration // how often the uses of secrets are written; 0 is every 10 s
}

// Store is one replica's access to Redis. Its methods may be called
// concurrently and hold no connection while they wait.
type Store struct {
	opt Options
	patience
	rdb       redis.UniversalClient
	pipe      *redis.AutoPipeliner
	log       *zap.Logger
	hub       *hub
	lost      lostReplies
	clock     redisClock
	standings *lru.Cache[string, *standing] // by account
	creds     *credentialCache
	uses      *uses
}

// Sizes of what a replica keeps in memory, and of its connections: O(1),
// whatever the number of desktops (DESIGN §2.6).
const (
	standingsMax = 65536
	poolSize     = 12
	pipelines    = 4
	maxQueued    = 8192 // admissions and other scripts that wait for a pipeline
)

// Open connects to Redis, checks that it can be relied on, and loads the
// scripts. It fails with the variable and the remedy when it cannot.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	redisLog.to.Store(o.Log)
	p := withRedis
	if o.Embedded {
		p = withEmbedded
	}
	rdb, err := newClient(o.URL, p)
	if err != nil {
		return nil, err
	}
	pipe, err := asyncPipeline(rdb)
	if err != nil {
		return nil, errors.Join(err, rdb.Close())
	}
	standings, _ := lru.New[string, *standing](standingsMax) // fails only for a size below 1
	s := &Store{opt: o, patience: p, rdb: rdb, pipe: pipe, log: o.Log, lost: newLostReplies(), standings: standings, creds: newCredentialCache(), uses: newUses()}
	if err := s.check(ctx); err != nil {
		return nil, errors.Join(err, rdb.Close())
	}
	if err := s.checkSeals(ctx); err != nil {
		return nil, errors.Join(err, rdb.Close())
	}
	if err := s.loadScripts(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("RELAY_REDIS_URL: Redis does not take the relay's scripts; allow SCRIPT LOAD and EVALSHA for this user: %w", err), rdb.Close())
	}
	s.hub = newHub(rdb, s.creds, s.log)
	go s.writeUses(cmp.Or(o.UsesEvery, usesEvery))
	return s, nil
}

// Close writes what is still counted and ends the subscription and the
// connections. Sessions must be closed before.
func (s *Store) Close() error {
	s.uses.close()
	s.hub.close()
	return errors.Join(s.pipe.Close(), s.rdb.Close())
}

// newClient makes a client that never repeats a command by itself (a repeated
// script could take effect twice) and honours deadlines on the socket.
func newClient(url string, p patience) (redis.UniversalClient, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("RELAY_REDIS_URL: not a Redis address; give redis://[user:password@]host:port[/db], or rediss:// for TLS")
	}
	o.MaxRetries = -1
	o.ContextTimeoutEnabled = true
	o.DialTimeout = 500 * time.Millisecond
	o.DialerRetries = 1
	o.ReadTimeout = p.try
	o.WriteTimeout = p.try
	o.PoolSize = poolSize
	o.PipelinePoolSize = pipelines
	o.PoolTimeout = p.try
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled} // asks old servers for what they lack
	return redis.NewClient(o), nil
}

// asyncPipeline shares round trips between concurrent callers. Scripts are
// atomic each, so their order over the connections does not matter.
func asyncPipeline(rdb redis.UniversalClient) (*redis.AutoPipeliner, error) {
	o := &redis.AutoPipelineOptions{MaxBatchSize: 100, MaxConcurrentBatches: pipelines, Unordered: true, MaxQueuedCommands: maxQueued}
	switch c := rdb.(type) {
	case *redis.Client:
		return c.AsyncAutoPipelineWithOptions(o)
	case *redis.ClusterClient:
		return c.AsyncAutoPipelineWithOptions(o)
	}
	return nil, errors.New("redisstore: unknown kind of client")
}

// Ping reports whether Redis takes writes, for readiness: one that only reads
// (out of memory, a replica) refuses everything the relay does.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.try)
	defer cancel()
	if err := s.rdb.Set(ctx, probeKey, 1, time.Minute).Err(); err != nil {
		return s.unavailable("ping", err)
	}
	return nil
}
