package quota

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"linkrelay/relay"
)

// The names of the windows (CONTRACT §6).
const (
	Minute = "minute"
	Day    = "day"
	Month  = "month"
)

// Counters are an account's counters as quota.lua writes them; the zero value
// is an account that has not admitted anything.
type Counters struct {
	tat        int64 // microseconds
	day, month int64
	dayUsed    int64
	monthUsed  int64
	refunds    int64
}

var errCounters = errors.New("quota: the counters are not six whole numbers")

// ParseCounters reads the text that quota.lua writes; "" is no use so far.
func ParseCounters(text string) (Counters, error) {
	var c Counters
	if text == "" {
		return c, nil
	}
	f := strings.Split(text, " ")
	if len(f) != 6 {
		return c, errCounters
	}
	for i, v := range []*int64{&c.tat, &c.day, &c.dayUsed, &c.month, &c.monthUsed, &c.refunds} {
		n, err := strconv.ParseUint(f[i], 10, 63)
		if err != nil {
			return Counters{}, errCounters
		}
		*v = int64(n)
	}
	return c, nil
}

// Windows returns the limited windows as they stand at now (Redis' time).
func (c Counters) Windows(l relay.Limits, now time.Time) []relay.Window {
	now = now.UTC()
	midnight := now.Truncate(24 * time.Hour)
	firstOfMonth := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	nextMonth := firstOfMonth.AddDate(0, 1, 0)
	out := make([]relay.Window, 0, 3)
	if l.PerMinute > 0 {
		out = append(out, c.minute(l.PerMinute, now))
	}
	if l.PerDay > 0 {
		used := c.dayUsed
		if c.day != midnight.Unix()/86400 {
			used = 0
		}
		out = append(out, window(Day, l.PerDay, used, midnight.Add(24*time.Hour).Sub(now), 24*time.Hour))
	}
	if l.PerMonth > 0 {
		used := c.monthUsed
		if c.month != int64(now.Year())*12+int64(now.Month())-1 {
			used = 0
		}
		out = append(out, window(Month, l.PerMonth, used, nextMonth.Sub(now), nextMonth.Sub(firstOfMonth)))
	}
	return out
}

// minute reads the GCRA state: every request in the window moves the arrival
// time on by one step, and it flows back with the clock.
func (c Counters) minute(limit int64, now time.Time) relay.Window {
	step := gcraStep(limit)
	ahead := max(0, c.tat-now.UnixMicro())
	used := min(limit, (ahead+step-1)/step)
	return window(Minute, limit, used, time.Duration(ahead)*time.Microsecond, time.Minute)
}

func gcraStep(limit int64) int64 { return max(1, 60_000_000/limit) }

func window(name string, limit, used int64, reset, length time.Duration) relay.Window {
	return relay.Window{
		Name: name, Limit: limit, Used: used, Remaining: max(0, limit-used),
		Reset: reset, ResetSecs: int64((reset + time.Second - 1) / time.Second), Length: length,
	}
}

// RetryAfter returns when the named window has room for one request again.
func RetryAfter(w relay.Window) time.Duration {
	if w.Name != Minute {
		return w.Reset
	}
	step := time.Duration(gcraStep(w.Limit)) * time.Microsecond
	return max(0, w.Reset-step*time.Duration(w.Limit-1))
}
