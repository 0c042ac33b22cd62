package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"linkrelay/relay"
	"linkrelay/signature"
)

// memory measures A5: what 100,000 waiting jobs of one account take in Redis,
// nonces, indexes and audit records included.
func memory(ctx context.Context, dir string) ([]figure, error) {
	const jobs = 100_000
	w, err := newWorld(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer w.close()
	before, err := usedMemory(ctx, w.redis)
	if err != nil {
		return nil, err
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	failed := make(chan error, connections)
	for range connections {
		wg.Go(func() {
			for n := next.Add(1); n <= jobs; n = next.Add(1) {
				if err := w.admitOne(ctx, n); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return nil, err
	default:
	}
	after, err := usedMemory(ctx, w.redis)
	if err != nil {
		return nil, err
	}
	return []figure{{id: "A5", what: "bytes in Redis per waiting job", value: (after - before) / jobs, target: 600, most: true, required: true,
		note: fmt.Sprintf("%d jobs of a %d-byte body", jobs, len(body("100000")))}}, nil
}

func (w *world) admitOne(ctx context.Context, n int64) error {
	key := strconv.FormatInt(n+100_000, 10)
	caller := relay.Caller{Account: w.account, KeyID: w.signer.KeyID, SecretID: relay.SecretID(w.signer.KeyID, 1), Nonce: signature.NewNonce(), NonceTTL: 10 * time.Minute}
	_, err := w.store.Admit(ctx, caller, &relay.JobRequest{IdempotencyKey: "bench-" + key, TrackingURL: "https://t.example.com/click?cid=" + key,
		Source: "bench", RowID: "row-" + key, Expiry: relay.DefaultExpiry})
	return err
}

func usedMemory(ctx context.Context, c *redis.Client) (float64, error) {
	text, err := c.Info(ctx, "memory").Result()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, "used_memory:"); ok {
			return strconv.ParseFloat(strings.TrimSpace(v), 64)
		}
	}
	return 0, fmt.Errorf("INFO memory has no used_memory")
}
