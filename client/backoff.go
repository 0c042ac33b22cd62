package client

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff bounds the pauses between attempts: the n-th pause is drawn evenly
// from zero to Min doubled n times, at most Max ("full jitter"), so that many
// clients that failed together do not come back together.
type Backoff struct {
	Min, Max time.Duration
}

func (b Backoff) or(least, most time.Duration) Backoff {
	if b.Min <= 0 {
		b.Min = least
	}
	if b.Max <= 0 {
		b.Max = max(most, b.Min)
	}
	return b
}

// pause returns the pause after n failures, n ≥ 1.
func (b Backoff) pause(n int) time.Duration {
	limit := b.Max
	if shift := n - 1; shift < 32 && b.Min<<shift < b.Max {
		limit = b.Min << shift
	}
	return rand.N(max(limit, 1))
}

// sleep waits for d, less if ctx ends, and returns ctx's error in that case.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
