package redisstore_test

import (
	"testing"
	"time"

	"linkrelay/relay"
)

// Claims that fail are not asked for at the rate of a deadline that passed, but
// less and less often.
func TestClaimsThatFailAreAskedForLessAndLess(t *testing.T) {
	t.Parallel()
	b := newBench(t, open(t, servers["redis"], quick))
	dev := b.device("d")
	api := b.platformOf(dev)
	s := b.connect(dev(), 1)
	b.admit(api(), "k")
	b.claim(s, 1) // the deadline of this offer sets the timer
	client(t, servers["redis"]).HDel(t.Context(), b.key(""), "k:"+dev().SecretID)
	asked := 0
	for end := time.After(2500 * time.Millisecond); ; {
		select {
		case <-s.Wake():
			asked++
			wantCode(t, b.err(s.Claim(t.Context())), relay.KeyRevoked)
			continue
		case <-end:
		}
		break
	}
	if asked < 2 || asked > 6 {
		t.Errorf("asked %d times in 2.5 s", asked)
	}
}
