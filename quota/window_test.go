package quota_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"linkrelay/quota"
	"linkrelay/relay"
)

func TestParseCounters(t *testing.T) {
	for _, good := range []string{"", "0 0 0 0 0 0", "1790000000000000 20717 3 24319 9 0", "9007199254740991 0 9007199254740991 0 0 0"} {
		if _, err := quota.ParseCounters(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{" ", "x", "1", "1 2 3 4", "1 2 3 4 x 0", "1 2 3 4 5 6 7", "1 2 3 4 5 0 ", "1 2 3 4 5x 0", "-1 0 0 0 0 0", "0 0 -1 0 0 0",
		"1.5 0 0 0 0 0", "1e3 0 0 0 0 0", "99999999999999999999 0 0 0 0 0", "nan 0 0 0 0 0", "1 2 3 4 5 0\n", "1\n2 3 4 5 6", "1  2 3 4 5 6", "1 2 3 4 5"} {
		if c, err := quota.ParseCounters(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, c)
		}
	}
}

func mustCounters(t rapid.TB, text string) quota.Counters {
	t.Helper()
	c, err := quota.ParseCounters(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWindowsOfAnUnusedAccount(t *testing.T) {
	now := time.Date(2028, 2, 29, 22, 0, 0, 500e6, time.UTC) // a leap day, with half a second
	got := quota.Counters{}.Windows(relay.Limits{PerMinute: 7, PerDay: 8, PerMonth: 9}, now)
	want := []relay.Window{
		{Name: "minute", Limit: 7, Remaining: 7, Length: time.Minute},
		{Name: "day", Limit: 8, Remaining: 8, Reset: 2*time.Hour - 500*time.Millisecond, ResetSecs: 7200, Length: 24 * time.Hour},
		{Name: "month", Limit: 9, Remaining: 9, Reset: 2*time.Hour - 500*time.Millisecond, ResetSecs: 7200, Length: 29 * 24 * time.Hour},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyLimitedWindowsAreShown(t *testing.T) {
	c := mustCounters(t, "0 0 5 23640 6 0") // 1970-01-01
	for _, tc := range []struct {
		limits relay.Limits
		names  []string
	}{
		{relay.Limits{}, nil},
		{relay.Limits{MaxBacklog: 1, MaxKeys: 1}, nil},
		{relay.Limits{PerMinute: 1}, []string{"minute"}},
		{relay.Limits{PerDay: 1}, []string{"day"}},
		{relay.Limits{PerMonth: 1}, []string{"month"}},
		{relay.Limits{PerMinute: 1, PerMonth: 1}, []string{"minute", "month"}},
	} {
		var names []string
		for _, w := range c.Windows(tc.limits, time.UnixMilli(0)) {
			names = append(names, w.Name)
		}
		if diff := cmp.Diff(tc.names, names); diff != "" {
			t.Errorf("%+v: %s", tc.limits, diff)
		}
	}
}

// A count belongs to one day and one month of UTC, whatever zone now is in.
func TestWindowsTurnOverAtMidnightUTC(t *testing.T) {
	limits := relay.Limits{PerDay: 10, PerMonth: 10}
	last := time.Date(2027, 12, 31, 23, 59, 59, 999e6, time.UTC)
	c := mustCounters(t, "0 21183 3 24335 4 0") // 2027-12-31, December 2027
	used := func(now time.Time) [2]int64 {
		w := c.Windows(limits, now)
		return [2]int64{w[0].Used, w[1].Used}
	}
	if got := used(last.In(time.FixedZone("east", 14*3600))); got != [2]int64{3, 4} {
		t.Errorf("in the last millisecond: %v", got)
	}
	if got := used(last.Add(time.Millisecond).In(time.FixedZone("west", -12*3600))); got != [2]int64{} {
		t.Errorf("at midnight: %v", got)
	}
	if got := used(last.Add(-24 * time.Hour)); got != [2]int64{0, 4} {
		t.Errorf("another day of the same month: %v", got)
	}
}

// What a limit that was lowered leaves is 0, never less.
func TestRemainingIsNeverNegative(t *testing.T) {
	c := mustCounters(t, "60000000 0 50 23640 50 0")
	for _, w := range c.Windows(relay.Limits{PerMinute: 1, PerDay: 10, PerMonth: 10}, time.UnixMilli(0)) {
		if w.Remaining != 0 || w.Reset <= 0 {
			t.Errorf("%+v", w)
		}
	}
}

// The invariants that a RateLimit header is built on, for any counters.
func TestWindowsMakeSense(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := mustCounters(t, drawCounters(t))
		now := time.UnixMilli(rapid.Int64Range(0, latest).Draw(t, "now")).UTC()
		limit := rapid.Int64Range(1, relay.MaxLimit).Draw(t, "limit")
		for _, w := range c.Windows(relay.Limits{PerMinute: limit, PerDay: limit, PerMonth: limit}, now) {
			if w.Limit != limit || w.Used < 0 || w.Remaining < 0 || w.Remaining > limit || w.Remaining != max(0, limit-w.Used) {
				t.Errorf("counts of %+v", w)
			}
			if w.Reset < 0 || time.Duration(w.ResetSecs)*time.Second < w.Reset || time.Duration(w.ResetSecs-1)*time.Second >= w.Reset && w.Reset > 0 {
				t.Errorf("reset of %+v", w)
			}
			if retry := quota.RetryAfter(w); retry < 0 || retry > w.Reset {
				t.Errorf("retry after %s of %+v", retry, w)
			}
			if w.Name != quota.Minute && (w.Reset == 0 || w.Reset > w.Length) {
				t.Errorf("a calendar window resets within its length: %+v", w)
			}
		}
	})
}
