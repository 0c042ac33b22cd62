package command

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"linkrelay/config"
	"linkrelay/handler"
	"linkrelay/internal/embedded"
	"linkrelay/quota"
	"linkrelay/redisstore"
)

func newServeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run one replica of the relay",
		Long: "Run one replica of the relay, on the Redis that RELAY_REDIS_URL names.\n\n" +
			"SIGTERM or Ctrl-C drains it within RELAY_DRAIN; a second one ends it at once.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd.Context(), cmd.ErrOrStderr()) },
	}
}

// serve runs a replica with the environment's settings until ctx ends.
func serve(ctx context.Context, stderr io.Writer) error {
	c, err := config.Load()
	if err != nil {
		return err
	}
	log, err := newLogger(stderr, c.LogLevel)
	if err != nil {
		return err
	}
	if c.Embedded {
		warnEmbedded(stderr, log)
	}
	return serveWith(ctx, c, log, func(*replica) {})
}

// serveWith runs a replica with these settings until ctx ends. It calls ready
// when the listeners are open.
func serveWith(ctx context.Context, c *config.Config, log *zap.Logger, ready func(*replica)) (err error) {
	store, closeStore, err := openStore(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	h, err := handler.New(handler.Options{
		MaxSkew:             c.MaxSkew,
		Lease:               c.Lease,
		Offer:               c.Offer,
		AllowPrivateTargets: c.AllowPrivateTargets,
		TrustedProxies:      c.TrustedProxies,
		AdminToken:          c.AdminToken.Reveal(),
		Plans:               store.hasPlan,
		DrainSpread:         c.Drain / 5,
	}, store, log)
	if err != nil {
		return err
	}
	r, err := newReplica(ctx, c, h, log)
	if err != nil {
		return err
	}
	ready(r)
	return r.run(ctx)
}

// plannedStore is the store with the plans it was opened with.
type plannedStore struct {
	*redisstore.Store
	plans quota.Plans
}

func (s plannedStore) hasPlan(name string) bool {
	_, ok := s.plans[name]
	return ok
}

// openStore opens the store that the settings name. The function it returns
// closes it, and the embedded server with it.
func openStore(ctx context.Context, c *config.Config, log *zap.Logger) (store plannedStore, closeAll func() error, err error) {
	plans, err := quota.LoadPlans(c.PlansFile)
	if err != nil {
		return store, nil, err
	}
	keys, err := keyring(c)
	if err != nil {
		return store, nil, err
	}
	url, closeServer := c.RedisURL.Reveal(), func() {}
	if c.Embedded {
		server, err := embedded.Start()
		if err != nil {
			return store, nil, fmt.Errorf("the embedded store does not start: %w", err)
		}
		url, closeServer = server.URL(), server.Close
	}
	opened, err := redisstore.Open(ctx, redisstore.Options{
		URL:         url,
		Keyring:     keys,
		Plans:       plans,
		Lease:       c.Lease,
		Offer:       c.Offer,
		MaxAttempts: c.MaxAttempts,
		Durability:  redisstore.Durability(c.Durability),
		Embedded:    c.Embedded,
		Log:         log,
	})
	if err != nil {
		closeServer()
		if _, unreachable := errors.AsType[net.Error](err); unreachable {
			err = unavailableError{err}
		}
		return store, nil, err
	}
	return plannedStore{opened, plans}, func() error {
		defer closeServer()
		return opened.Close()
	}, nil
}

// keyring makes the keys that seal secrets. The embedded store forgets all it
// sealed at its end, so a key that is forgotten with it serves.
func keyring(c *config.Config) (*redisstore.Keyring, error) {
	var keys []redisstore.SealKey
	for _, k := range c.SealingKeys() {
		keys = append(keys, redisstore.SealKey{ID: k.ID, Key: [32]byte([]byte(k.Key.Reveal()))})
	}
	if len(keys) == 0 && c.Embedded {
		k := redisstore.SealKey{ID: "embedded"}
		_, _ = rand.Read(k.Key[:]) // never fails: see crypto/rand
		keys = append(keys, k)
	}
	return redisstore.NewKeyring(keys...)
}

// warnEmbedded says loudly what the embedded store is not: in the log, for
// whoever reads it later, and before the eyes of whoever started it.
func warnEmbedded(stderr io.Writer, log *zap.Logger) {
	const warning = "EMBEDDED STORE: everything is in this process and is LOST when it ends; never use it in production"
	if isTerminal(stderr) {
		line := strings.Repeat("!", len(warning)+6)
		fmt.Fprintf(stderr, "%s\n!! %s !!\n%s\n", line, warning, line)
	}
	log.Warn(warning, zap.String("remedy", "unset RELAY_EMBEDDED and set RELAY_REDIS_URL"))
}
