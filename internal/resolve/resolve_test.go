package resolve_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"linkrelay/internal/resolve"
	"linkrelay/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site serves handlers by path on loopback and returns its base URL.
func site(t *testing.T, pages map[string]http.HandlerFunc) string {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, page := range pages {
		mux.HandleFunc(pattern, page)
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// local is a Resolver that may reach loopback.
func local() *resolve.Resolver { return resolve.New(resolve.Options{AllowPrivate: true}) }

func redirect(status int, location string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", location)
		w.WriteHeader(status)
	}
}

func page(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(body))
	}
}

func answers(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

// resolved fails the test unless the link resolves.
func resolved(t *testing.T, r *resolve.Resolver, link string) resolve.Result {
	t.Helper()
	result, err := r.Resolve(t.Context(), link)
	if err != nil {
		t.Fatalf("Resolve(%q): %v", link, err)
	}
	return result
}

// failed fails the test unless the link fails with the kind.
func failed(t *testing.T, r *resolve.Resolver, link string, want resolve.Kind) (resolve.Result, *resolve.Error) {
	t.Helper()
	result, err := r.Resolve(t.Context(), link)
	fault, ok := errors.AsType[*resolve.Error](err)
	if !ok || fault.Kind != want {
		t.Fatalf("Resolve(%q) = %+v, %v; want a failure of kind %s", link, result, err, want)
	}
	if result.FinalURL != "" || result.FinalStatus != 0 {
		t.Errorf("a failed resolution claims the final page %q (%d)", result.FinalURL, result.FinalStatus)
	}
	return result, fault
}

var anyMillis = cmpopts.IgnoreFields(resolve.Hop{}, "Millis")

func TestEveryHopIsRecorded(t *testing.T) {
	base := site(t, map[string]http.HandlerFunc{
		"/click": redirect(301, "/a/b?x=1"),
		"/a/b":   redirect(302, "../c"),
		"/c": func(w http.ResponseWriter, r *http.Request) {
			redirect(303, map[string]string{"": "?q=2", "q=2": "next"}[r.URL.RawQuery])(w, r)
		},
		"/next":    page(`<meta http-equiv="Refresh" content="0; URL='/refresh'">`),
		"/refresh": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Refresh", "1;url=last") },
		"/last":    redirect(307, "/lasting"),
		"/lasting": redirect(308, "/landing#here"),
		"/landing": page("<h1>Hello</h1>"),
	})
	got := resolved(t, local(), base+"/click")
	want := resolve.Result{
		FinalURL:    base + "/landing#here",
		FinalStatus: 200,
		Hops: []resolve.Hop{
			{URL: base + "/click", Status: 301, Location: "/a/b?x=1", Via: resolve.ViaHTTP},
			{URL: base + "/a/b?x=1", Status: 302, Location: "../c", Via: resolve.ViaHTTP},
			{URL: base + "/c", Status: 303, Location: "?q=2", Via: resolve.ViaHTTP},
			{URL: base + "/c?q=2", Status: 303, Location: "next", Via: resolve.ViaHTTP},
			{URL: base + "/next", Status: 200, Location: "/refresh", Via: resolve.ViaMeta},
			{URL: base + "/refresh", Status: 200, Location: "last", Via: resolve.ViaRefresh},
			{URL: base + "/last", Status: 307, Location: "/lasting", Via: resolve.ViaHTTP},
			{URL: base + "/lasting", Status: 308, Location: "/landing#here", Via: resolve.ViaHTTP},
			{URL: base + "/landing#here", Status: 200},
		},
	}
	if diff := cmp.Diff(want, got, anyMillis); diff != "" {
		t.Error(diff)
	}
}

func TestMillisecondsOfAHop(t *testing.T) {
	const slow = 30 * time.Millisecond
	base := site(t, map[string]http.HandlerFunc{
		"/slow": func(w http.ResponseWriter, r *http.Request) { <-time.After(slow); redirect(302, "/fast")(w, r) },
		"/fast": answers(204),
	})
	hops := resolved(t, local(), base+"/slow").Hops
	if got := hops[0].Millis; got < slow.Milliseconds() {
		t.Errorf("the slow hop took %d ms, want at least %d", got, slow.Milliseconds())
	}
	if hops[1].Millis > 10_000 || hops[1].Millis < 0 {
		t.Errorf("the fast hop took %d ms", hops[1].Millis)
	}
}

func TestWireForm(t *testing.T) {
	got, err := json.Marshal(resolve.Result{
		FinalURL: "https://shop.example/", FinalStatus: 200,
		Hops: []resolve.Hop{
			{URL: "http://t.example/1", Status: 302, Location: "https://shop.example/", Via: resolve.ViaHTTP, Millis: 12},
			{URL: "https://shop.example/", Status: 200, Millis: 30},
		},
	})
	const want = `{"finalUrl":"https://shop.example/","finalStatus":200,"hops":[` +
		`{"url":"http://t.example/1","status":302,"location":"https://shop.example/","via":"http","ms":12},` +
		`{"url":"https://shop.example/","status":200,"ms":30}]}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

func TestWhatEndsALink(t *testing.T) {
	header := func(status int, name, value string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(name, value)
			w.WriteHeader(status)
		}
	}
	for name, c := range map[string]struct {
		status int
		page   http.HandlerFunc
	}{
		"not found":                     {404, answers(404)},
		"a broken page":                 {500, answers(500)},
		"a redirect without Location":   {302, answers(302)},
		"a redirect to nothing":         {302, redirect(302, "")},
		"multiple choices":              {300, redirect(300, "/elsewhere")},
		"not modified":                  {304, redirect(304, "/elsewhere")},
		"created":                       {201, redirect(201, "/elsewhere")},
		"Refresh of an error page":      {404, header(404, "Refresh", "0;url=/elsewhere")},
		"a page that reloads later":     {200, header(200, "Refresh", "31;url=/elsewhere")},
		"a page that reloads itself":    {200, header(200, "Refresh", "5")},
		"an unreadable Refresh":         {200, header(200, "Refresh", "soon;url=/elsewhere")},
		"a page that opens an app":      {200, header(200, "Refresh", "0;url=market://details?id=x")},
		"a page that runs a script":     {200, header(200, "Refresh", "0;url=javascript:void(0)")},
		"a page that empties its frame": {200, header(200, "Refresh", "0;url=about:blank")},
	} {
		t.Run(name, func(t *testing.T) {
			base := site(t, map[string]http.HandlerFunc{"/": c.page, "/elsewhere": answers(200)})
			got := resolved(t, local(), base+"/start")
			if got.FinalURL != base+"/start" || got.FinalStatus != c.status || len(got.Hops) != 1 {
				t.Errorf("got %+v, want the link itself with %d", got, c.status)
			}
		})
	}
}

func TestStatusesThatAskToComeBack(t *testing.T) {
	for _, status := range []int{429, 502, 503, 504} {
		base := site(t, map[string]http.HandlerFunc{
			"/start": redirect(302, "/end"),
			"/end": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(status)
			},
		})
		result, fault := failed(t, local(), base+"/start", resolve.ServerError)
		if !fault.Retryable() || fault.Status != status || fault.RetryAfter != 7*time.Second {
			t.Errorf("%d: got %+v, retryable %t", status, fault, fault.Retryable())
		}
		if n := len(result.Hops); n != 2 || result.Hops[1].Status != status {
			t.Errorf("%d: the failure tells %+v, want both hops", status, result.Hops)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"120":                           2 * time.Minute,
		"-1":                            0,
		"1.5":                           0,
		"soon":                          0,
		"99999999999999999999":          0,
		"999999999":                     relay.MaxRetryDelay,
		"Fri, 01 May 2026 12:01:00 GMT": time.Minute,
		"Fri, 01 May 2026 11:00:00 GMT": 0,
		"Fri, 01 May 2099 12:00:00 GMT": relay.MaxRetryDelay,
	} {
		if got := resolve.RetryAfter(value, now); got != want {
			t.Errorf("RetryAfter(%q) = %v, want %v", value, got, want)
		}
	}
}

// A loop is the same URL with the same cookies, or too many visits; a site that
// sets a cookie and sends the visitor back to the same URL is not one.
func TestLoops(t *testing.T) {
	requests := 0
	base := site(t, map[string]http.HandlerFunc{
		"/itself": redirect(302, "/itself"),
		"/ping":   redirect(302, "/pong#a"),
		"/pong":   redirect(302, "/ping#b"),
		"/bounce": func(w http.ResponseWriter, r *http.Request) {
			if _, err := r.Cookie("seen"); err == nil {
				redirect(302, "/shop")(w, r)
				return
			}
			http.SetCookie(w, &http.Cookie{Name: "seen", Value: "1", Path: "/"})
			redirect(302, "/bounce")(w, r)
		},
		"/counter": func(w http.ResponseWriter, r *http.Request) {
			requests++
			http.SetCookie(w, &http.Cookie{Name: "n", Value: strconv.Itoa(requests)})
			redirect(302, "/counter")(w, r)
		},
		"/refresh-loop": page(`<meta http-equiv=refresh content="0;url=/refresh-back">`),
		"/refresh-back": page(`<meta http-equiv=refresh content="0;url=/refresh-loop">`),
		"/live-ticker": func(w http.ResponseWriter, r *http.Request) {
			requests++
			http.SetCookie(w, &http.Cookie{Name: "n", Value: strconv.Itoa(requests)})
			page(`<meta http-equiv=refresh content="5">`)(w, r)
		},
		"/shop": answers(200),
	})
	t.Run("to itself", func(t *testing.T) {
		result, fault := failed(t, local(), base+"/itself", resolve.Loop)
		if len(result.Hops) != 1 || fault.Retryable() {
			t.Errorf("got %d hops, retryable %t; want 1 hop and no retry", len(result.Hops), fault.Retryable())
		}
	})
	t.Run("fragments do not make it another URL", func(t *testing.T) {
		if result, _ := failed(t, local(), base+"/ping", resolve.Loop); len(result.Hops) != 2 {
			t.Errorf("got %d hops, want 2", len(result.Hops))
		}
	})
	t.Run("cookie bounce is followed", func(t *testing.T) {
		got := resolved(t, local(), base+"/bounce")
		if got.FinalURL != base+"/shop" || len(got.Hops) != 3 {
			t.Errorf("got %+v, want the shop after 3 hops", got)
		}
	})
	t.Run("a cookie that changes each time", func(t *testing.T) {
		requests = 0
		_, _ = failed(t, local(), base+"/counter", resolve.Loop)
		if requests != resolve.MaxVisits {
			t.Errorf("the URL was requested %d times, want %d", requests, resolve.MaxVisits)
		}
	})
	t.Run("pages that refresh to each other", func(t *testing.T) {
		_, _ = failed(t, local(), base+"/refresh-loop", resolve.Loop)
	})
	t.Run("a page that refreshes itself for ever is final", func(t *testing.T) {
		requests = 0
		got := resolved(t, local(), base+"/live-ticker")
		if got.FinalURL != base+"/live-ticker" || requests != resolve.MaxVisits {
			t.Errorf("got %+v after %d requests", got, requests)
		}
	})
}

func TestMaxHops(t *testing.T) {
	base := site(t, map[string]http.HandlerFunc{
		"/{left}": func(w http.ResponseWriter, r *http.Request) {
			if left, _ := strconv.Atoi(r.PathValue("left")); left > 0 {
				redirect(302, "/"+strconv.Itoa(left-1))(w, r)
			}
		},
	})
	for maxHops, limit := range map[int]int{0: resolve.DefaultMaxHops, 3: 3, 1000: resolve.LimitMaxHops} {
		r := resolve.New(resolve.Options{AllowPrivate: true, MaxHops: maxHops})
		if got := resolved(t, r, fmt.Sprintf("%s/%d", base, limit)); len(got.Hops) != limit+1 {
			t.Errorf("MaxHops %d: %d hops, want %d", maxHops, len(got.Hops), limit+1)
		}
		result, fault := failed(t, r, fmt.Sprintf("%s/%d", base, limit+1), resolve.TooManyHops)
		if len(result.Hops) != limit+1 || fault.Retryable() {
			t.Errorf("MaxHops %d: %d hops in the failure, retryable %t", maxHops, len(result.Hops), fault.Retryable())
		}
	}
}

// One Resolver serves many resolutions at once, and none sees another's cookies.
func TestConcurrentResolutionsShareNothing(t *testing.T) {
	base := site(t, map[string]http.HandlerFunc{
		"/start/{who}": func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "who", Value: r.PathValue("who"), Path: "/"})
			redirect(302, "/end")(w, r)
		},
		"/end": func(w http.ResponseWriter, r *http.Request) {
			redirect(302, "/is/"+strings.ReplaceAll(r.Header.Get("Cookie"), "who=", ""))(w, r)
		},
		"/is/": answers(200),
	})
	r := local()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			got, err := r.Resolve(t.Context(), fmt.Sprintf("%s/start/%d", base, i))
			if want := fmt.Sprintf("%s/is/%d", base, i); err != nil || got.FinalURL != want {
				t.Errorf("got %q, %v; want %q", got.FinalURL, err, want)
			}
		})
	}
	wg.Wait()
}

func TestWhatIsSent(t *testing.T) {
	var got []*http.Request
	record := func(then http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { got = append(got, r); then(w, r) }
	}
	base := site(t, map[string]http.HandlerFunc{
		"/a": record(redirect(307, "/b#part")),
		"/b": record(answers(200)),
	})
	resolved(t, resolve.New(resolve.Options{AllowPrivate: true, UserAgent: "tester/2"}), base+"/a")
	resolved(t, local(), base+"/b")
	if len(got) != 3 {
		t.Fatalf("%d requests, want 3", len(got))
	}
	for i, agent := range []string{"tester/2", "tester/2", resolve.DefaultUserAgent} {
		r := got[i]
		if r.Method != http.MethodGet || r.UserAgent() != agent {
			t.Errorf("request %d: %s by %q, want GET by %q", i, r.Method, r.UserAgent(), agent)
		}
		for _, name := range []string{"Referer", "Authorization", "Accept-Encoding", "Cookie"} {
			if v, sent := r.Header[name]; sent {
				t.Errorf("request %d carries %s: %q", i, name, v)
			}
		}
		if strings.Contains(r.RequestURI, "#") {
			t.Errorf("request %d carries the fragment: %q", i, r.RequestURI)
		}
	}
}

func silent() *log.Logger { return log.New(io.Discard, "", 0) }
