package redisstore

import (
	"strconv"
	"strings"
	"time"

	"linkrelay/relay"
)

// profile is an account's field p: "state end plan" and the overrides in the
// order of relay.LimitNames, separated by spaces; "-" keeps the plan's limit.
type profile struct {
	membership relay.Membership
	plan       string
	overrides  relay.LimitOverrides
}

func parseProfile(text string) (profile, error) {
	f := strings.Split(text, " ")
	if len(f) != 3+len(relay.LimitNames) {
		return profile{}, errReply
	}
	p := profile{membership: relay.Membership{State: relay.MembershipState(f[0])}, plan: f[2]}
	ends, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return profile{}, errReply
	}
	if ends > 0 {
		t := at(ends)
		p.membership.EndsAt = &t
	}
	for i, v := range p.overrides.Values() {
		if f[3+i] == "-" {
			continue
		}
		n, err := strconv.ParseInt(f[3+i], 10, 64)
		if err != nil {
			return profile{}, errReply
		}
		*v = &n
	}
	return p, nil
}

// changeArgs are the ten fields as account.lua takes them: "=" leaves a field.
func changeArgs(c relay.AccountChange) []any {
	args := []any{"=", "=", "="}
	if m := c.Membership; m != nil {
		args[0], args[1] = string(m.State), int64(0)
		if m.EndsAt != nil {
			args[1] = m.EndsAt.UnixMilli()
		}
	}
	if c.Plan != nil {
		args[2] = *c.Plan
	}
	for _, v := range c.Overrides.Values() {
		if *v == nil {
			args = append(args, "=")
		} else {
			args = append(args, **v)
		}
	}
	return args
}

// account is the profile as the operator sees it.
func (s *Store) account(id, profileText string, created time.Time) (relay.Account, error) {
	p, err := parseProfile(profileText)
	if err != nil {
		return relay.Account{}, err
	}
	return relay.Account{
		ID: id, Plan: p.plan, Membership: p.membership, Overrides: p.overrides,
		Effective: p.overrides.Over(s.opt.Plans[p.plan].Limits), CreatedAt: created,
	}, nil
}
