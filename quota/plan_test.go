package quota_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"linkrelay/quota"
	"linkrelay/relay"
)

func plansFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plans.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPlansFileReplacesTheBuiltIns(t *testing.T) {
	got, err := quota.LoadPlans(plansFile(t, `
		{"free": {"apiLinks": false, "limits": {"perMinute": 1}},
		 "gold": {"apiLinks": true, "limits": {"perMinute": 5, "perDay": 6, "perMonth": 7, "maxBacklog": 8, "maxInFlight": 9, "maxDevices": 10, "maxKeys": 1000000000}}}
		`))
	if err != nil {
		t.Fatal(err)
	}
	want := quota.Plans{
		"free": {Limits: relay.Limits{PerMinute: 1}},
		"gold": {APILinks: true, Limits: relay.Limits{PerMinute: 5, PerDay: 6, PerMonth: 7, MaxBacklog: 8, MaxInFlight: 9, MaxDevices: 10, MaxKeys: 1_000_000_000}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.Names() != "free, gold" {
		t.Errorf("names %q", got.Names())
	}
}

func TestNoPlansFileMeansTheBuiltIns(t *testing.T) {
	got, err := quota.LoadPlans("")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(quota.BuiltIn(), got); diff != "" {
		t.Error(diff)
	}
	if got.Names() != "business, free, pro" {
		t.Errorf("names %q", got.Names())
	}
	got["free"] = quota.Plan{}
	if quota.BuiltIn()["free"] == (quota.Plan{}) {
		t.Error("changing one's plans changed the built-in ones")
	}
}

// The built-in plans must hold themselves to what a file is held to.
func TestBuiltInPlansAreLimited(t *testing.T) {
	plans := quota.BuiltIn()
	if _, ok := plans[quota.DefaultPlan]; !ok {
		t.Fatalf("there is no plan %q", quota.DefaultPlan)
	}
	for name, p := range plans {
		for i, v := range p.Limits.Values() {
			if *v < 1 || *v > relay.MaxLimit {
				t.Errorf("%s: %s is %d", name, relay.LimitNames[i], *v)
			}
		}
	}
}

func TestBadPlansFilesAreRefusedWithTheRemedy(t *testing.T) {
	const free = `"free": {"apiLinks": true, "limits": {"perMinute": 10}}`
	for _, tc := range []struct{ name, text, remedy string }{
		{"empty", ``, "want one JSON object"},
		{"not JSON", `free: 1`, "want one JSON object"},
		{"an array", `[]`, "want one JSON object"},
		{"null", `null`, `the plan "free" is missing`},
		{"cut off", `{` + free, "want one JSON object"},
		{"free is missing", `{"pro": {"apiLinks": true}}`, `the plan "free" is missing; new accounts get it`},
		{"free in another case", `{"Free": {"apiLinks": true}}`, `the plan "free" is missing`},
		{"unknown member", `{"free": {"apiLinks": true, "perMinute": 10}}`, `"perMinute"`},
		{"unknown limit", `{"free": {"limits": {"perHour": 10}}}`, `"perHour"`},
		{"limit in another case", `{"free": {"limits": {"PerMinute": 10}}}`, `"PerMinute"`},
		{"limit twice", `{"free": {"limits": {"perDay": 10, "perDay": 1000}}}`, `"perDay"`},
		{"plan twice", `{` + free + `, "free": {}}`, `"free"`},
		{"negative limit", `{"free": {"limits": {"perMonth": -1}}}`, `plan "free": perMonth must be between 0 (no limit) and 1000000000`},
		{"limit too large", `{"free": {"limits": {"maxKeys": 1000000001}}}`, `plan "free": maxKeys must be between 0 (no limit) and 1000000000`},
		{"limit beyond int64", `{"free": {"limits": {"maxKeys": 99999999999999999999}}}`, "want one JSON object"},
		{"limit not whole", `{"free": {"limits": {"maxKeys": 1.5}}}`, "want one JSON object"},
		{"limit a text", `{"free": {"limits": {"maxKeys": "1"}}}`, "want one JSON object"},
		{"bad name", `{` + free + `, "gold plan": {}}`, `the plan name "gold plan" must be 1 to 40 of [A-Za-z0-9_-]`},
		{"empty name", `{` + free + `, "": {}}`, `the plan name "" must be 1 to 40`},
		{"second object", `{` + free + `} {}`, "want one JSON object"},
		{"text after", `{` + free + `} x`, "want one JSON object"},
		{"brace after", `{` + free + `}}`, "want one JSON object"},
		{"bracket after", `{` + free + `}]`, "want one JSON object"},
		{"too large", `{` + free + `}` + strings.Repeat(" ", 1<<20), "larger than 1 MiB"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			plans, err := quota.LoadPlans(plansFile(t, tc.text))
			if err == nil {
				t.Fatalf("it was taken as %+v", plans)
			}
			for _, want := range []string{"RELAY_PLANS_FILE: ", tc.remedy} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestUnreadablePlansFileNamesTheRemedy(t *testing.T) {
	for name, path := range map[string]string{
		"missing":   filepath.Join(t.TempDir(), "none.json"),
		"directory": t.TempDir(),
	} {
		_, err := quota.LoadPlans(path)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range []string{"RELAY_PLANS_FILE: ", "cannot be read", "unset the variable for the built-in plans"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", name, err, want)
			}
		}
	}
}
