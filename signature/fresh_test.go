package signature_test

import (
	"testing"
	"time"

	"linkrelay/signature"
)

func TestFreshBoundsAreInclusive(t *testing.T) {
	const skew = 5 * time.Minute
	for offset, want := range map[time.Duration]bool{
		0: true, skew: true, -skew: true, skew + 1: false, -skew - 1: false, 1e18: false, -1e18: false,
	} {
		if got := signature.Fresh(at, at.Add(offset), skew); got != want {
			t.Errorf("%v later: %v, want %v", offset, got, want)
		}
	}
	for _, far := range []time.Time{{}, time.Unix(9999999999, 0), time.Unix(0, 0), time.Unix(1<<40, 0)} {
		if signature.Fresh(far, at, skew) {
			t.Errorf("%v is fresh", far)
		}
	}
}

// While a request is fresh by a clock that is up to NonceDrift behind, its
// nonce is still remembered; and never longer than need be.
func TestNonceOutlivesFreshness(t *testing.T) {
	const skew = 5 * time.Minute
	for offset := -skew; offset <= skew; offset += time.Second {
		seen := at.Add(offset)
		ttl := signature.NonceTTL(at, seen, skew)
		if ttl < signature.NonceDrift || ttl > 2*skew+signature.NonceDrift {
			t.Fatalf("seen %v after signing: remembered for %v", offset, ttl)
		}
		forgotten := seen.Add(ttl)
		if signature.Fresh(at, forgotten.Add(1-signature.NonceDrift), skew) {
			t.Fatalf("seen %v after signing: forgotten while fresh for a clock that is behind", offset)
		}
		if !signature.Fresh(at, forgotten.Add(-signature.NonceDrift), skew) {
			t.Fatalf("seen %v after signing: remembered for longer than needed", offset)
		}
	}
	if ttl := signature.NonceTTL(at, at.Add(time.Hour), skew); ttl != signature.NonceDrift {
		t.Errorf("a stale request's nonce: %v", ttl)
	}
}
