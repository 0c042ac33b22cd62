// Package quota knows plans, their limits and the windows they are counted in:
// the built-in and configured plans, what the counters in Redis mean, and the
// Lua functions that check, charge and refund them inside the admission step.
package quota

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"linkrelay/relay"
)

// Plan says what an account on it may use.
type Plan struct {
	APILinks bool         `json:"apiLinks"` // whether API Links are included at all
	Limits   relay.Limits `json:"limits"`
}

// Plans are the plans of this deployment by name.
type Plans map[string]Plan

// DefaultPlan is given to an account that is created without one.
const DefaultPlan = "free"

// BuiltIn returns the plans that apply when RELAY_PLANS_FILE names none.
func BuiltIn() Plans {
	return Plans{
		"free":     {APILinks: true, Limits: relay.Limits{PerMinute: 10, PerDay: 200, PerMonth: 2_000, MaxBacklog: 200, MaxInFlight: 2, MaxDevices: 1, MaxKeys: 2}},
		"pro":      {APILinks: true, Limits: relay.Limits{PerMinute: 120, PerDay: 20_000, PerMonth: 300_000, MaxBacklog: 10_000, MaxInFlight: 16, MaxDevices: 5, MaxKeys: 20}},
		"business": {APILinks: true, Limits: relay.Limits{PerMinute: 1_200, PerDay: 500_000, PerMonth: 10_000_000, MaxBacklog: 100_000, MaxInFlight: 64, MaxDevices: 50, MaxKeys: 100}},
	}
}

const maxPlansFile = 1 << 20

// LoadPlans reads plans from a JSON file: an object of name to
// {"apiLinks": bool, "limits": {…}}. It replaces the built-in plans, so it must
// hold the plan "free" that new accounts get. path "" returns BuiltIn.
func LoadPlans(path string) (Plans, error) {
	if path == "" {
		return BuiltIn(), nil
	}
	f, err := os.Open(path) //nolint:gosec // the operator names this file
	if err != nil {
		return nil, unreadable(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPlansFile+1))
	if err != nil {
		return nil, unreadable(err)
	}
	if len(text) > maxPlansFile {
		return nil, errors.New("RELAY_PLANS_FILE: the file is larger than 1 MiB; a plans file is a small JSON object")
	}
	return parsePlans(text)
}

func unreadable(err error) error {
	return fmt.Errorf("RELAY_PLANS_FILE: the file cannot be read; name a readable JSON file or unset the variable for the built-in plans: %w", err)
}

func parsePlans(text []byte) (Plans, error) {
	var plans Plans
	if err := json.Unmarshal(text, &plans, json.RejectUnknownMembers(true)); err != nil { // exact names, each once, nothing after the object
		return nil, fmt.Errorf(`RELAY_PLANS_FILE: want one JSON object of plans such as {"free": {"apiLinks": true, "limits": {"perMinute": 10}}}: %w`, err)
	}
	if _, ok := plans[DefaultPlan]; !ok {
		return nil, fmt.Errorf("RELAY_PLANS_FILE: the plan %q is missing; new accounts get it", DefaultPlan)
	}
	for name, p := range plans {
		if !relay.ValidAccountID(name) {
			return nil, fmt.Errorf("RELAY_PLANS_FILE: the plan name %q must be 1 to 40 of [A-Za-z0-9_-]", name)
		}
		for i, v := range p.Limits.Values() {
			if *v < 0 || *v > relay.MaxLimit {
				return nil, fmt.Errorf("RELAY_PLANS_FILE: plan %q: %s must be between 0 (no limit) and %d", name, relay.LimitNames[i], int64(relay.MaxLimit))
			}
		}
	}
	return plans, nil
}

// Names returns the plans' names, sorted, for messages.
func (p Plans) Names() string {
	names := make([]string, 0, len(p))
	for n := range p {
		names = append(names, n)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
