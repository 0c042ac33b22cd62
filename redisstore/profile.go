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

// describe adds what the profile holds to an event, under the names that the
// operator's calls have for it.
func (p profile) describe(about map[string]string) {
	about["membership"], about["plan"] = string(p.membership.State), p.plan
	if end := p.membership.EndsAt; end != nil {
		about["endsAt"] = end.Format(time.RFC3339)
	}
	for i, v := range p.overrides.Values() {
		if *v != nil {
			about[relay.LimitNames[i]] = strconv.FormatInt(**v, 10)
		}
	}
}

// changeArgs are the ten fields as account.lua takes them: "=" leaves a field.
func changeArgs(c relay.AccountChange) []any {
	args := []any{"=", "=", "="}
	if m := c.Membership; m != nil {
		args[0], args[1] = string(m.State), int64(0)
		if m.EndsAt != nil {
			args[1] = max(1, m.EndsAt.UnixMilli()) // 0 and less would be no end at all
		}
	}
	if c.Plan != nil {
		args[2] = *c.Plan
	}
	for _, v := range c.Overrides.Values() {
		if *v == nil {
			args = append(args, "=")
		} else if **v == relay.PlanLimit {
			args = append(args, "-")
		} else {
			args = append(args, **v)
		}
	}
	return args
}

// standing is what follows from an account's profile under this deployment's
// plans. A replica remembers it; every script that uses it compares the text
// with the account's own and asks to be run again with that, so that a change
// holds at once and the usual call still takes one round trip.
type standing struct {
	text    string // "" before the first look
	limits  relay.Limits
	refusal relay.Code // why it admits nothing, whatever the clock says; or ""
	ends    int64      // of the membership, ms; 0 never
}

// closed are the limits of an account whose plan this deployment does not know.
var closed = relay.Limits{PerMinute: 1, PerDay: 1, PerMonth: 1, MaxBacklog: 1, MaxInFlight: 1, MaxDevices: 1, MaxKeys: 1}

func (s *Store) standing(text string) (*standing, error) {
	p, err := parseProfile(text)
	if err != nil {
		return nil, err
	}
	plan, known := s.opt.Plans[p.plan]
	if !known {
		plan.Limits = closed
	}
	st := &standing{text: text, limits: p.overrides.Over(plan.Limits)}
	if p.membership.EndsAt != nil {
		st.ends = p.membership.EndsAt.UnixMilli()
	}
	switch {
	case p.membership.State != relay.MembershipActive:
		st.refusal = relay.MembershipInactive
	case !plan.APILinks:
		st.refusal = relay.PlanFeatureMissing
	}
	return st, nil
}

// withStanding runs a script with the account's standing as last seen, and
// again when the script answers that the account's profile is another one.
func (s *Store) withStanding(account string, try func(*standing) (profile string, err error)) error {
	st, ok := s.standings.Get(account)
	if !ok {
		st = &standing{}
	}
	for range 3 {
		text, err := try(st)
		if text == "" || err != nil {
			return err
		}
		if st, err = s.standing(text); err != nil {
			return err
		}
		s.standings.Add(account, st)
	}
	return relay.NewError(relay.StoreUnavailable, "the account keeps changing")
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
