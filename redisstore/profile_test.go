package redisstore_test

import (
	"testing"
	"time"

	"linkrelay/quota"
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

// An override can be taken back, and then follows the plan again.
func TestOverrideGoesBackToThePlan(t *testing.T) {
	onBoth(t, func(b *bench) {
		b.limits(relay.LimitOverrides{PerDay: ptr(int64(7)), MaxKeys: ptr(int64(0))})
		b.limits(relay.LimitOverrides{PerDay: ptr(int64(relay.PlanLimit))})
		a, err := b.s.Account(b.t.Context(), b.account)
		b.must(a, err)
		if plan := quota.BuiltIn()["business"].Limits; a.Overrides.PerDay != nil || a.Effective.PerDay != plan.PerDay || a.Effective.MaxKeys != 0 {
			b.t.Errorf("the account has %+v, %+v", a.Overrides, a.Effective)
		}
	})
}
