package redisstore_test

import (
	"testing"
	"time"

	"linkrelay/relay"
)

// A membership that ended at the dawn of time has ended: what a script sends
// for "now, whatever the clock" is not what it sends for "never".
func TestMembershipThatEndedLongAgo(t *testing.T) {
	onBoth(t, func(b *bench) {
		api := b.platform()
		for _, ends := range []time.Time{{}, time.Unix(0, 0), time.Unix(-1, 0), time.Unix(1, 0)} {
			a, err := b.s.ChangeAccount(b.t.Context(), b.account, relay.AccountChange{
				Membership: &relay.Membership{State: relay.MembershipActive, EndsAt: &ends}})
			b.must(a, err)
			if a.Membership.EndsAt == nil {
				b.t.Errorf("%v became no end", ends)
			}
			wantCode(b.t, b.err(b.s.Admit(b.t.Context(), api(), request("k"))), relay.MembershipInactive)
		}
	})
}
