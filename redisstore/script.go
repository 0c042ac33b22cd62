package redisstore

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis names scripts by their SHA-1
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"linkrelay/quota"
	"linkrelay/relay"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// Bounds that the scripts keep.
const (
	eventsMax  = 1000  // about that many audit records of an account
	deadMax    = 10000 // dead letters of an account
	settleMax  = 64    // due jobs that one script brings up to date
	restingMax = 16    // jobs resting from the device that claims, that one claim looks behind
	holdOff    = 500 * time.Millisecond
)

// script is one Lua script with its SHA-1, as EVALSHA wants it.
type script struct{ name, text, sha string }

// The scripts. Each file says what it does, its KEYS, ARGV and answers.
var (
	admitScript   = compose("admit", "secret", "quota")
	readScript    = compose("read", "secret", "guard")
	cancelScript  = compose("cancel", "secret", "guard", "quota", "jobs")
	claimScript   = compose("claim", "secret", "guard", "jobs")
	settleScript  = compose("settle", "guard", "jobs")
	actScript     = compose("act", "secret", "guard", "jobs")
	redriveScript = compose("redrive", "guard", "jobs")
	accountScript = compose("account", "guard")
	keyScript     = compose("key", "secret", "guard")
	usesScript    = compose("uses", "guard")
	linkScript    = compose("link", "guard")

	scripts = []*script{admitScript, readScript, cancelScript, claimScript, settleScript,
		actScript, redriveScript, accountScript, keyScript, usesScript, linkScript}
)

// compose puts the constants and the named parts in front of a script.
func compose(name string, parts ...string) *script {
	var b strings.Builder
	fmt.Fprintf(&b, "local GROUP, BELL = '%s', '%s'\n", group, bellChannel)
	fmt.Fprintf(&b, "local RETENTION, USUAL_LIFETIME, HOLD_OFF = %d, %d, %d\n",
		relay.Retention.Milliseconds(), relay.DefaultExpiry.Milliseconds(), holdOff.Milliseconds())
	fmt.Fprintf(&b, "local EVENTS_MAX, DEAD_MAX, SETTLE_MAX, RESTING_MAX, MAX_SECRETS = %d, %d, %d, %d, %d\n",
		eventsMax, deadMax, settleMax, restingMax, relay.MaxSecrets)
	for _, part := range append(parts, name) {
		if part == "quota" {
			b.WriteString(quota.Lua)
			continue
		}
		text, err := luaFiles.ReadFile("lua/" + part + ".lua")
		if err != nil {
			panic(err) // the file is embedded: only a typo above gets here
		}
		b.Write(text)
	}
	sum := sha1.Sum([]byte(b.String())) //nolint:gosec // not for security
	return &script{name: name, text: b.String(), sha: hex.EncodeToString(sum[:])}
}

// loadScripts makes every script known to every master.
func (s *Store) loadScripts(ctx context.Context) error {
	load := func(ctx context.Context, c *redis.Client) error {
		_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, sc := range scripts {
				p.ScriptLoad(ctx, sc.text)
			}
			return nil
		})
		return err
	}
	switch c := s.rdb.(type) {
	case *redis.ClusterClient:
		return c.ForEachMaster(ctx, load)
	case *redis.Client:
		return load(ctx, c)
	}
	return errors.New("redisstore: unknown kind of client")
}

// patience is the time for one try of a command and for all tries together.
type patience struct{ try, total time.Duration }

// A Redis that does not answer is given up within the two seconds of CONTRACT
// §5, with room for the rest of a request. The embedded server works on this
// process's own time, and there is nobody else to ask.
var (
	withRedis    = patience{700 * time.Millisecond, 1600 * time.Millisecond}
	withEmbedded = patience{5 * time.Second, 12 * time.Second}
)

// run executes a script in one round trip shared with concurrent callers. A
// script whose reply was lost is run once more: every script answers its own
// earlier run, by operation id or because its effect is the same. Pass
// tries = 1 where a second run would do more than the first.
func (s *Store) run(ctx context.Context, sc *script, tries int, keys []string, args ...any) ([]any, error) {
	words := make([]any, 0, 3+len(keys)+len(args))
	words = append(words, "evalsha", sc.sha, len(keys))
	for _, k := range keys {
		words = append(words, k)
	}
	words = append(append(words, args...), nil) // room for the deadline
	return s.repeat(ctx, sc, tries, func(ctx context.Context, deadline int64) ([]any, error) {
		cmd := redis.NewSliceCmd(ctx, append(words[:len(words)-1:len(words)-1], deadline)...)
		// The wait ends with ctx whatever the connection does. A command whose
		// wait ended may still come to Redis, which finds it late.
		if err := s.pipe.Submit(ctx, cmd).WaitContext(ctx); err != nil {
			return nil, err
		}
		return cmd.Val(), nil
	})
}

// repeat gives try its time, again after a failure that may pass, and turns the
// last failure into what the caller may see. try gets the deadline that is the
// last argument of every script; see guard.lua.
func (s *Store) repeat(ctx context.Context, sc *script, tries int, try func(ctx context.Context, deadline int64) ([]any, error)) ([]any, error) {
	end := time.Now().Add(s.total)
	timed := func() ([]any, error) {
		wait := min(s.try, time.Until(end))
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		v, err := try(ctx, s.clock.now()+wait.Milliseconds())
		if a := (reply{v: v}); err == nil && a.text(0) == "late" {
			s.clock.observe(a.number(1))
			return nil, errLate
		}
		return v, err
	}
	once := func() ([]any, error) {
		v, err := timed()
		switch { // nothing ran: this was no try
		case err != nil && redis.HasErrorPrefix(err, "NOSCRIPT"): // a restarted server
			load, cancel := context.WithDeadline(ctx, end)
			defer cancel()
			if err = s.loadScripts(load); err == nil {
				v, err = timed()
			}
		case errors.Is(err, errLate): // its clock was stepped, or it hung
			v, err = timed()
		}
		return v, err
	}
	v, err := once()
	for ; err != nil && tries > 1 && ctx.Err() == nil && time.Now().Before(end) && transient(err); tries-- {
		v, err = once()
	}
	if err != nil {
		return nil, s.unavailable(sc.name, err)
	}
	return v, nil
}

var errLate = errors.New("the script came to Redis too late to be run")

// redisClock is Redis' time as this replica knows it: its own, and the
// difference seen last. It serves deadlines only; scripts read the clock itself.
type redisClock struct{ ahead atomic.Int64 }

func (c *redisClock) now() int64 { return time.Now().UnixMilli() + c.ahead.Load() }

func (c *redisClock) observe(now int64) { c.ahead.Store(now - time.Now().UnixMilli()) }

// transient reports whether a second try may find what the first did not: not
// after a reply of Redis (it would be the same) nor a full queue.
func transient(err error) bool {
	var reply redis.Error
	return !errors.As(err, &reply) && !errors.Is(err, redis.ErrAutoPipelineQueueFull)
}

// confirmTimeout bounds WAIT and WAITAOF.
const confirmTimeout = 500 * time.Millisecond

// runDurably is run for what a 202 promises: with a durability configured it
// also waits, on the connection that wrote, until the write is confirmed.
func (s *Store) runDurably(ctx context.Context, sc *script, keys []string, args ...any) ([]any, error) {
	if s.opt.Durability != DurabilityReplica && s.opt.Durability != DurabilityFsync {
		return s.run(ctx, sc, 2, keys, args...)
	}
	confirmed := false
	v, err := s.repeat(ctx, sc, 2, func(ctx context.Context, deadline int64) ([]any, error) {
		node, err := s.master(ctx, keys[0])
		if err != nil {
			return nil, err
		}
		pipe := node.Pipeline()
		run := pipe.EvalSha(ctx, sc.sha, keys, append(slices.Clip(args), deadline)...)
		wait := pipe.Do(ctx, s.confirmation()...)
		_, _ = pipe.Exec(ctx) // each command has its own error
		if err := run.Err(); err != nil {
			return nil, err
		}
		confirmed = s.confirmed(wait)
		return run.Slice()
	})
	if err != nil || confirmed {
		return v, err
	}
	if a := (reply{v: v}); a.text(0) != "new" && a.text(0) != "known" {
		return v, nil // nothing was promised
	}
	return nil, relay.NewError(relay.DurabilityUnconfirmed, "the job was stored, but not confirmed as durable in time")
}

// confirmation is the command that waits for the durability configured.
func (s *Store) confirmation() []any {
	if s.opt.Durability == DurabilityFsync {
		return []any{"waitaof", 1, 0, confirmTimeout.Milliseconds()}
	}
	return []any{"wait", 1, confirmTimeout.Milliseconds()}
}

func (s *Store) confirmed(wait *redis.Cmd) bool {
	if s.opt.Durability == DurabilityFsync {
		n, err := wait.Int64Slice()
		return err == nil && len(n) > 0 && n[0] >= 1
	}
	n, err := wait.Int64()
	return err == nil && n >= 1
}

// master is the node that holds a key.
func (s *Store) master(ctx context.Context, key string) (*redis.Client, error) {
	if c, ok := s.rdb.(*redis.ClusterClient); ok {
		return c.MasterForKey(ctx, key)
	}
	return s.rdb.(*redis.Client), nil
}
