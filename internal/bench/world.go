package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"linkrelay/handler"
	"linkrelay/internal/redistest"
	"linkrelay/quota"
	"linkrelay/redisstore"
	"linkrelay/relay"
	"linkrelay/signature"
)

// world is a relay on a redis-server of its own, with one account without
// limits and one API key.
type world struct {
	server  *redistest.Server
	redis   *redis.Client
	store   *redisstore.Store
	account string
	signer  signature.Signer
}

func newWorld(ctx context.Context, dir string) (*world, error) {
	server, err := redistest.Run(dir)
	if err != nil {
		return nil, err
	}
	w := &world{server: server, redis: redis.NewClient(&redis.Options{Addr: server.Addr, PoolSize: 16, MaxRetries: -1}), account: "acc_benchmark123"}
	if err := w.open(ctx); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) open(ctx context.Context) error {
	ring, err := redisstore.NewKeyring(redisstore.SealKey{ID: "bench"})
	if err != nil {
		return err
	}
	plans := quota.Plans{"free": {APILinks: true}} // counted like any other, limited by nothing
	w.store, err = redisstore.Open(ctx, redisstore.Options{URL: w.server.URL(), Keyring: ring, Plans: plans,
		Lease: time.Minute, Offer: 10 * time.Second, MaxAttempts: 5})
	if err != nil {
		return err
	}
	// The limits are far above the load, so that every window is decided for real.
	high := int64(relay.MaxLimit)
	limits := relay.LimitOverrides{PerMinute: &high, PerDay: &high, PerMonth: &high, MaxBacklog: &high}
	if _, err = w.store.CreateAccount(ctx, w.account, relay.AccountChange{Overrides: limits}); err != nil {
		return err
	}
	code := signature.NormalizeLinkCode(signature.NewLinkCode())
	if _, err = w.store.CreateLinkCode(ctx, w.account, code, time.Minute); err != nil {
		return err
	}
	device := relay.DeviceSpec{ID: relay.NewDeviceID(), KeyID: signature.NewKeyID(signature.KindDevice), Secret: signature.NewSecret(), Name: "bench", Platform: "bench"}
	if _, err = w.store.Link(ctx, code, device); err != nil {
		return err
	}
	w.signer = signature.Signer{KeyID: signature.NewKeyID(signature.KindLive), Secret: signature.NewSecret()}
	caller := relay.Caller{Account: w.account, KeyID: device.KeyID, SecretID: relay.SecretID(device.KeyID, 1), DeviceID: device.ID, Nonce: signature.NewNonce(), NonceTTL: time.Minute}
	_, err = w.store.CreateKey(ctx, caller, relay.KeySpec{ID: w.signer.KeyID, Secret: w.signer.Secret, Name: "bench",
		Environment: relay.Live, Schemes: []relay.Scheme{relay.SchemeLinkPeeler}, Scopes: relay.DefaultScopes})
	return err
}

func (w *world) close() {
	if w.store != nil {
		_ = w.store.Close()
	}
	_ = w.redis.Close()
	w.server.Kill()
}

// serve runs the relay's own server and handler over a store and returns its
// address and how to end it.
func (w *world) serve(store handler.Store) (addr string, stop func(), err error) {
	log := zap.NewNop()
	h, err := handler.New(handler.Options{}, store, log)
	if err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := handler.Server(h.Public(), log)
	go func() {
		if err := server.Serve(l); err != http.ErrServerClosed {
			panic(err) // nothing can be measured without it
		}
	}()
	return l.Addr().String(), func() { _ = server.Close() }, nil
}
