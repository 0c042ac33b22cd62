package quota_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"linkrelay/internal/redistest"
	"linkrelay/quota"
	"linkrelay/relay"
)

// latest is the last millisecond of 2200, up to which the windows must hold.
var latest = time.Date(2201, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() - 1

var clients = map[string]*redis.Client{}

func TestMain(m *testing.M) {
	os.Exit(redistest.Both(m, func(urls map[string]string) error {
		for name, url := range urls {
			o, err := redis.ParseURL(url)
			if err != nil {
				return err
			}
			clients[name] = redis.NewClient(o)
		}
		return nil
	}))
}

// lua runs quota.lua with a text behind it.
type lua func(t rapid.TB, text string, args ...any) []any

// onBoth runs a test with the Lua of both servers.
func onBoth(t *testing.T, test func(t *testing.T, run lua)) {
	t.Parallel()
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, func(t rapid.TB, text string, args ...any) []any {
				t.Helper()
				v, err := client.Eval(context.Background(), quota.Lua+text, nil, args...).Slice()
				if err != nil {
					t.Fatal(err)
				}
				return v
			})
		})
	}
}

func drawCounters(t *rapid.T) string {
	n := func(label string, most int64) int64 { return rapid.Int64Range(0, most).Draw(t, label) }
	return fmt.Sprintf("%d %d %d %d %d 0", n("tat", latest*1000), n("day", latest/86_400_000), n("dayUsed", 2*relay.MaxLimit),
		n("month", 2201*12), n("monthUsed", 2*relay.MaxLimit))
}

func monthOf(t time.Time) int64 { return int64(t.Year())*12 + int64(t.Month()) - 1 }

// Every month's first and last day from 1970 to 2200, and whatever days rapid
// thinks of, belong to the month that Go says.
func TestMonthOfADay(t *testing.T) {
	const text = `
		local out = {}
		for i, day in ipairs(ARGV) do out[i] = quota_month(tonumber(day)) end
		return out`
	check := func(t rapid.TB, run lua, days []any) {
		t.Helper()
		for i, got := range run(t, text, days...) {
			day := time.Unix(days[i].(int64)*86_400, 0).UTC()
			if want := monthOf(day); got != want {
				t.Fatalf("%s is in month %v, want %d", day.Format(time.DateOnly), got, want)
			}
		}
	}
	onBoth(t, func(t *testing.T, run lua) {
		for year := 1970; year <= 2200; year++ {
			var days []any
			for month := time.January; month <= time.December; month++ {
				first := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
				days = append(days, first.Unix()/86_400, first.AddDate(0, 1, -1).Unix()/86_400)
			}
			check(t, run, days)
		}
		rapid.Check(t, func(t *rapid.T) {
			var days []any
			for _, d := range rapid.SliceOfN(rapid.Int64Range(0, latest/86_400_000), 1, 200).Draw(t, "days") {
				days = append(days, d)
			}
			check(t, run, days)
		})
	})
}

// arrive lets requests arrive at ARGV[3…] (ms), of a limit ARGV[1] of window
// ARGV[2], and answers "1" for each that was admitted, then the counters.
const arrive = `
	local limits, text, out = { 0, 0, 0 }, '', {}
	limits[tonumber(ARGV[2])] = tonumber(ARGV[1])
	for i = 3, #ARGV do
		local now = tonumber(ARGV[i])
		local c = quota_open(text, now)
		if quota_full(c, limits, now) then
			out[i - 2] = '0'
		else
			quota_charge(c, limits, now)
			text, out[i - 2] = quota_text(c), '1'
		end
	end
	return { table.concat(out), text }`

func arrivals(t rapid.TB, run lua, limit, window int64, times []int64) (admitted string, counters quota.Counters) {
	t.Helper()
	args := []any{limit, window}
	for _, at := range times {
		args = append(args, at)
	}
	v := run(t, arrive, args...)
	return v[0].(string), mustCounters(t, v[1].(string))
}

// drawTimes are arrival times: bursts, trickles and pauses in any order.
func drawTimes(t *rapid.T, most int) []int64 {
	at := rapid.Int64Range(0, latest/2).Draw(t, "start")
	gaps := rapid.SliceOfN(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 50), rapid.Int64Range(0, 10_000), rapid.Int64Range(0, 200_000)), 1, most).Draw(t, "gaps")
	times := make([]int64, len(gaps))
	for i, gap := range gaps {
		at += gap
		times[i] = at
	}
	return times
}

// drawLimit prefers limits that the drawn arrivals can reach.
func drawLimit(t *rapid.T) int64 {
	return rapid.OneOf(rapid.Int64Range(1, 20), rapid.Int64Range(1, 2000), rapid.Int64Range(1, relay.MaxLimit)).Draw(t, "limit")
}

func stepOf(limit int64) int64 { return max(1, 60_000_000/limit) } // microseconds

// The minute window decides like the textbook's GCRA, request by request.
func TestMinuteAgreesWithItsModel(t *testing.T) {
	onBoth(t, func(t *testing.T, run lua) {
		rapid.Check(t, func(t *rapid.T) {
			limit, times := drawLimit(t), drawTimes(t, 150)
			got, counters := arrivals(t, run, limit, 1, times)
			step, tat := stepOf(limit), int64(0)
			for i, ms := range times {
				want := byte('0')
				if now := ms * 1000; tat-now <= step*(limit-1) {
					want, tat = '1', max(tat, now)+step
				}
				if got[i] != want {
					t.Fatalf("limit %d, request %d: admitted %c, want %c", limit, i, got[i], want)
				}
			}
			now := times[len(times)-1]
			w := counters.Windows(relay.Limits{PerMinute: limit}, time.UnixMilli(now))[0]
			if want := time.Duration(max(0, tat-now*1000)) * time.Microsecond; w.Reset != want {
				t.Fatalf("Go reads a reset of %s from what Lua wrote, want %s", w.Reset, want)
			}
		})
	})
}

// From idle the whole minute's limit fits into one instant, and no more.
func TestMinuteAdmitsABurstOfTheLimit(t *testing.T) {
	onBoth(t, func(t *testing.T, run lua) {
		rapid.Check(t, func(t *rapid.T) {
			limit := rapid.Int64Range(1, 700).Draw(t, "limit")
			at := rapid.Int64Range(0, latest).Draw(t, "at")
			times := make([]int64, limit+3)
			for i := range times {
				times[i] = at
			}
			got, counters := arrivals(t, run, limit, 1, times)
			if want := strings.Repeat("1", int(limit)) + "000"; got != want {
				t.Fatalf("limit %d admitted %d of a burst", limit, strings.Count(got, "1"))
			}
			w := counters.Windows(relay.Limits{PerMinute: limit}, time.UnixMilli(at))[0]
			if w.Used != limit || w.Remaining != 0 {
				t.Fatalf("after the burst: %+v", w)
			}
		})
	})
}

// Between any two arrivals no more were admitted than the limit and what
// flowed back in the time between them: no minute lets double through.
func TestMinuteIsNeverExceeded(t *testing.T) {
	onBoth(t, func(t *testing.T, run lua) {
		rapid.Check(t, func(t *rapid.T) {
			limit, times := rapid.Int64Range(1, 40).Draw(t, "limit"), drawTimes(t, 120)
			got, _ := arrivals(t, run, limit, 1, times)
			for i := range times {
				admitted := int64(0)
				for j := i; j < len(times); j++ {
					if got[j] == '1' {
						admitted++
					}
					if most := limit + (times[j]-times[i])*1000/stepOf(limit); admitted > most {
						t.Fatalf("limit %d: %d admitted within %d ms, at most %d may be", limit, admitted, times[j]-times[i], most)
					}
				}
			}
		})
	})
}

// RetryAfter names the first millisecond at which Lua admits again.
func TestRetryAfterIsExact(t *testing.T) {
	onBoth(t, func(t *testing.T, run lua) {
		rapid.Check(t, func(t *rapid.T) {
			window := rapid.IntRange(0, 2).Draw(t, "window")
			limit := rapid.Int64Range(1, 60).Draw(t, "limit")
			var limits relay.Limits
			*limits.Values()[window] = limit
			start := rapid.Int64Range(0, latest/2).Draw(t, "start")
			late := start + rapid.Int64Range(0, 999).Draw(t, "later")
			times := make([]int64, limit, limit+2)
			for i := range times {
				times[i] = start
			}
			_, counters := arrivals(t, run, limit, int64(window)+1, times)
			w := counters.Windows(limits, time.UnixMilli(late))[0]
			if w.Remaining != 0 {
				return // a millisecond was enough for one request, or midnight passed
			}
			retry := quota.RetryAfter(w)
			open := late + int64((retry+time.Millisecond-1)/time.Millisecond)
			got, _ := arrivals(t, run, limit, int64(window)+1, append(times, open-1, open))
			if got[limit:] != "01" {
				t.Fatalf("%s window of %d: %d ms later and one before it Lua answers %q", w.Name, limit, open-late, got[limit:])
			}
		})
	})
}

// What Go shows as remaining and what Lua decides are the same question.
func TestRemainingMeansRoom(t *testing.T) {
	const text = `
		local now = tonumber(ARGV[5])
		local c = quota_open(ARGV[1], now)
		return { quota_full(c, { tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]) }, now) or '', quota_text(c) }`
	onBoth(t, func(t *testing.T, run lua) {
		rapid.Check(t, func(t *rapid.T) {
			now := time.UnixMilli(rapid.Int64Range(0, latest).Draw(t, "now")).UTC()
			near := func(v, off int64) int64 { return max(0, v+off) }
			counters := fmt.Sprintf("%d %d %d %d %d 0",
				near(now.UnixMicro(), rapid.Int64Range(-70_000_000, 70_000_000).Draw(t, "ahead")),
				near(now.Unix()/86_400, rapid.Int64Range(-1, 0).Draw(t, "day")), rapid.Int64Range(0, 12).Draw(t, "dayUsed"),
				monthOf(now)-rapid.Int64Range(0, 1).Draw(t, "month"), rapid.Int64Range(0, 12).Draw(t, "monthUsed"))
			if now.UnixMilli() < 31*86_400_000 {
				return // there is no month before the first
			}
			small := rapid.Int64Range(0, 10)
			l := relay.Limits{PerMinute: small.Draw(t, "perMinute"), PerDay: small.Draw(t, "perDay"), PerMonth: small.Draw(t, "perMonth")}
			if sameDay := strings.Fields(counters)[1] == fmt.Sprint(now.Unix()/86_400); sameDay {
				f := strings.Fields(counters)
				f[3] = fmt.Sprint(monthOf(now)) // a day is in one month
				counters = strings.Join(f, " ")
			}
			v := run(t, text, counters, l.PerMinute, l.PerDay, l.PerMonth, now.UnixMilli())
			var full []string
			for _, w := range mustCounters(t, counters).Windows(l, now) {
				if w.Remaining == 0 {
					full = append(full, w.Name)
				}
			}
			if want := strings.Join(full, ","); v[0] != want {
				t.Fatalf("%q with %+v at %s: Lua names %q, Go %q", counters, l, now, v[0], want)
			}
			// Opening and writing keeps what the windows say.
			if diff := cmp.Diff(mustCounters(t, counters).Windows(l, now), mustCounters(t, v[1].(string)).Windows(l, now)); diff != "" {
				t.Fatal(diff)
			}
		})
	})
}

// step is a charge, or the refund of an earlier one.
type step struct{ at, refundOf int64 } // ms; refundOf < 0: a charge

// history runs steps ("at refundOf" each) from the counters ARGV[2] under the
// minute limit ARGV[1] and answers the counters after each.
const history = `
	local limits, text, out = { tonumber(ARGV[1]), 0, 0 }, ARGV[2], {}
	for i = 3, #ARGV do
		local now, created = string.match(ARGV[i], '^(%d+) (%-?%d+)$')
		now, created = tonumber(now), tonumber(created)
		local c = quota_open(text, now)
		if created < 0 then quota_charge(c, limits, now) else quota_refund(c, limits, now, created) end
		text = quota_text(c)
		out[#out + 1] = text
	end
	return out`

func runHistory(t rapid.TB, run lua, minute int64, from string, steps []step) []quota.Counters {
	t.Helper()
	args := []any{minute, from}
	for _, s := range steps {
		args = append(args, fmt.Sprintf("%d %d", s.at, s.refundOf))
	}
	var out []quota.Counters
	for _, text := range run(t, history, args...) {
		out = append(out, mustCounters(t, text.(string)))
	}
	return out
}

// A refund gives back to the day and month it was taken from while they are
// open, and to no other; the count is charges less refunds, never below zero.
func TestRefundGoesWhereItCameFrom(t *testing.T) {
	limits := relay.Limits{PerMinute: 5, PerDay: 1000, PerMonth: 1000}
	onBoth(t, func(t *testing.T, run lua) {
		rapid.Check(t, func(t *rapid.T) {
			var steps []step
			var open []int64 // charges that were not refunded
			days, months := map[int64]int64{}, map[int64]int64{}
			var want [][2]int64
			tat, tats := int64(0), []int64{}
			now := rapid.Int64Range(0, latest/2).Draw(t, "start")
			gap := rapid.OneOf(rapid.Int64Range(0, 1000), rapid.Int64Range(0, 90_000), rapid.Int64Range(0, 30*3600_000), rapid.Int64Range(0, 40*86_400_000))
			for range rapid.IntRange(1, 60).Draw(t, "steps") {
				now += gap.Draw(t, "gap")
				s := step{at: now, refundOf: -1}
				if len(open) > 0 && rapid.Bool().Draw(t, "refund") {
					i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
					s.refundOf = open[i]
					open = append(open[:i], open[i+1:]...)
					days[s.refundOf/86_400_000]--
					months[monthOf(time.UnixMilli(s.refundOf).UTC())]--
					if now-s.refundOf < 60_000 {
						tat = max(0, tat-stepOf(limits.PerMinute))
					}
				} else {
					open = append(open, now)
					days[now/86_400_000]++
					months[monthOf(time.UnixMilli(now).UTC())]++
					tat = max(tat, now*1000) + stepOf(limits.PerMinute)
				}
				steps, tats = append(steps, s), append(tats, tat)
				want = append(want, [2]int64{days[now/86_400_000], months[monthOf(time.UnixMilli(now).UTC())]})
			}
			for i, c := range runHistory(t, run, limits.PerMinute, "", steps) {
				w := c.Windows(limits, time.UnixMilli(steps[i].at))
				if got := [2]int64{w[1].Used, w[2].Used}; got != want[i] {
					t.Fatalf("after step %d %+v: day and month %v, want %v", i, steps[i], got, want[i])
				}
				if ahead := max(0, tats[i]-steps[i].at*1000); w[0].Reset != time.Duration(ahead)*time.Microsecond {
					t.Fatalf("after step %d %+v: the minute resets in %s, want %d µs", i, steps[i], w[0].Reset, ahead)
				}
			}
		})
	})
}

// Whatever counters a refund meets, it takes at most one from each window and
// never goes below zero.
func TestRefundNeverGoesBelowZero(t *testing.T) {
	onBoth(t, func(t *testing.T, run lua) {
		rapid.Check(t, func(t *rapid.T) {
			now := rapid.Int64Range(31*86_400_000, latest).Draw(t, "now")
			created := now - rapid.Int64Range(0, min(now, 40*86_400_000)).Draw(t, "age")
			when := time.UnixMilli(now).UTC()
			from := fmt.Sprintf("%d %d %d %d %d 0", rapid.Int64Range(0, 20_000_000).Draw(t, "tat"), now/86_400_000,
				rapid.Int64Range(0, 2).Draw(t, "dayUsed"), monthOf(when), rapid.Int64Range(0, 2).Draw(t, "monthUsed"))
			l := relay.Limits{PerMinute: rapid.Int64Range(1, 5).Draw(t, "perMinute"), PerDay: 10, PerMonth: 10}
			after := runHistory(t, run, l.PerMinute, from, []step{{now, created}, {now, created}, {now, created}})
			before := mustCounters(t, from).Windows(l, when)
			for _, c := range after { // ParseCounters refuses a negative number
				w := c.Windows(l, when)
				for i := range w {
					if w[i].Used > before[i].Used || w[i].Used < before[i].Used-1 {
						t.Fatalf("%s went from %d to %d by one refund", w[i].Name, before[i].Used, w[i].Used)
					}
				}
				before = w
			}
		})
	})
}

// Counters that Lua cannot read count as none; it never fails on them.
func TestDamagedCountersStartAnew(t *testing.T) {
	onBoth(t, func(t *testing.T, run lua) {
		now := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
		for _, text := range []string{"", "x", "1 2 3 4", "1 2 3 4 5 6 7", "-1 0 0 0 0 0", "1 2 3 4 5 0\n"} {
			c := runHistory(t, run, 10, text, []step{{now.UnixMilli(), -1}})[0]
			for _, w := range c.Windows(relay.Limits{PerMinute: 10, PerDay: 10, PerMonth: 10}, now) {
				if w.Used != 1 {
					t.Errorf("%q: %s used %d, want 1", text, w.Name, w.Used)
				}
			}
		}
	})
}
