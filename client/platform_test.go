package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"linkrelay/client"
	"linkrelay/relay"
)

var fetch = relay.JobRequest{TrackingURL: "https://t.example/c?a=1&b=<x>", Source: "mail", RowID: "42"}

func accepted(w http.ResponseWriter, r request) {
	answer(w, http.StatusAccepted, relay.Job{ID: "job_1", State: relay.Queued, IdempotencyKey: r.member("idempotencyKey")})
}

// Whatever fails before an answer, the job is asked for again under the same
// idempotency key with a nonce of its own (the journal checks that), and the
// answer that counts is the last.
func TestSubmitRetries(t *testing.T) {
	failures := map[string]func(http.ResponseWriter){
		"connection cut": cut,
		"answer cut": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusAccepted)
			_, _ = w.Write([]byte(`{"jobId":`))
			_ = http.NewResponseController(w).Flush()
			cut(w)
		},
		"500":            func(w http.ResponseWriter) { refuse(w, relay.InternalError) },
		"502 of a proxy": func(w http.ResponseWriter) { http.Error(w, "<h1>Bad Gateway</h1>", http.StatusBadGateway) },
		"503":            func(w http.ResponseWriter) { refuse(w, relay.StoreUnavailable, 0) },
		"504 of a proxy": func(w http.ResponseWriter) { http.Error(w, "", http.StatusGatewayTimeout) },
		"nonce replayed": func(w http.ResponseWriter) { refuse(w, relay.NonceReplayed) },
	}
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, j := serve(t, func(n int, w http.ResponseWriter, r request) {
				if n < 4 {
					fail(w)
					return
				}
				w.Header().Set("Idempotent-Replayed", "true")
				accepted(w, r)
			})
			s, err := newPlatform(t, srv.URL).Submit(t.Context(), fetch)
			if err != nil || s.Job.ID != "job_1" || !s.Replayed {
				t.Fatalf("Submit = %+v, %v", s, err)
			}
			all := j.requests()
			if len(all) != 4 {
				t.Fatalf("%d requests, want 4", len(all))
			}
			for _, r := range all {
				if r.member("idempotencyKey") != s.Job.IdempotencyKey || string(r.Body) != string(all[0].Body) {
					t.Errorf("a retry changed the body: %s", r.Body)
				}
			}
		})
	}
}

func TestSubmitBody(t *testing.T) {
	srv, j := serve(t, func(_ int, w http.ResponseWriter, r request) {
		w.Header().Set("RateLimit-Policy", `"minute";q=60;w=60, "day";q=1000;w=86400`)
		w.Header().Set("RateLimit", `"minute";r=59;t=1, "day";r=990;t=3600`)
		accepted(w, r)
	})
	p := newPlatform(t, srv.URL)
	full := fetch
	full.IdempotencyKey, full.Context, full.Expiry = "k-1", []byte(`{ "a": 1 }`), 90*time.Second+1
	s, err := p.Submit(t.Context(), full)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"idempotencyKey":"k-1","trackingUrl":"https://t.example/c?a=1&b=<x>","source":"mail","rowId":"42","context":{"a":1},"expiresInSeconds":91}`
	if got := string(j.requests()[0].Body); got != want {
		t.Errorf("body\n got %s\nwant %s", got, want)
	}
	windows := []relay.Window{
		{Name: "minute", Limit: 60, Used: 1, Remaining: 59, Reset: time.Second, ResetSecs: 1, Length: time.Minute},
		{Name: "day", Limit: 1000, Used: 10, Remaining: 990, Reset: time.Hour, ResetSecs: 3600, Length: 24 * time.Hour},
	}
	if diff := cmp.Diff(windows, s.RateLimit); diff != "" {
		t.Error(diff)
	}
	if s.Replayed {
		t.Error("Replayed without the header")
	}
}

// Two submissions without a key of their own are two jobs.
func TestSubmitMakesItsOwnKey(t *testing.T) {
	srv, _ := serve(t, func(_ int, w http.ResponseWriter, r request) { accepted(w, r) })
	p := newPlatform(t, srv.URL)
	one, err1 := p.Submit(t.Context(), fetch)
	two, err2 := p.Submit(t.Context(), fetch)
	if err1 != nil || err2 != nil || len(one.Job.IdempotencyKey) < 20 || one.Job.IdempotencyKey == two.Job.IdempotencyKey {
		t.Errorf("keys %q and %q, errors %v, %v", one.Job.IdempotencyKey, two.Job.IdempotencyKey, err1, err2)
	}
}

// Every code of the catalogue comes back as it was sent; only what may pass by
// itself is tried again, and no more often than allowed.
func TestRefusals(t *testing.T) {
	for _, entry := range relay.Catalogue {
		t.Run(string(entry.Code), func(t *testing.T) {
			t.Parallel()
			srv, j := serve(t, func(_ int, w http.ResponseWriter, _ request) {
				w.Header().Set("X-Request-Id", "req-7")
				refuse(w, entry.Code)
			})
			p := newPlatform(t, srv.URL, func(o *client.Options) { o.Attempts = 3 })
			s, err := p.Submit(t.Context(), fetch)
			var e *relay.Error
			if !errors.As(err, &e) || e.Code != entry.Code || e.Status != entry.Status || e.Retryable != entry.Retryable || e.RequestID != "req-7" {
				t.Fatalf("error %#v", err)
			}
			if s.Job.IdempotencyKey == "" {
				t.Error("the idempotency key was not handed back: the caller cannot ask again")
			}
			want := 1
			switch {
			case entry.Status >= 500, entry.Code == relay.NonceReplayed:
				want = 3
			case entry.Code == relay.TimestampOutOfWindow:
				want = 2
			}
			if got := len(j.requests()); got != want {
				t.Errorf("%d requests, want %d", got, want)
			}
		})
	}
}

func TestAnswersOfOthers(t *testing.T) {
	cases := map[string]struct {
		answer func(http.ResponseWriter)
		status int
		text   string
	}{
		"proxy's page": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte("<b>no\x1b[31m\n" + strings.Repeat("é", 5000)))
		}, 403, "<b>no [31m " + strings.Repeat("é", 289)},
		"redirect": {func(w http.ResponseWriter) {
			w.Header().Set("Location", "/login")
			w.WriteHeader(http.StatusFound)
		}, 302, ""},
		"captive portal":   {func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>log in")) }, 200, "<html>log in"},
		"no code":          {func(w http.ResponseWriter) { problem(w, 400, `{"title":"?"}`) }, 400, `{"title":"?"}`},
		"json not problem": {func(w http.ResponseWriter) { answer(w, 404, map[string]string{"code": "x"}) }, 404, `{"code":"x"} `},
		"endless body": {func(w http.ResponseWriter) {
			for range 64 {
				_, _ = w.Write([]byte(strings.Repeat(" ", 64<<10)))
			}
		}, 200, strings.Repeat(" ", 300)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, j := serve(t, func(_ int, w http.ResponseWriter, _ request) { c.answer(w) })
			_, err := newPlatform(t, srv.URL).Quota(t.Context())
			var e *client.AnswerError
			if !errors.As(err, &e) || e.Status != c.status || e.Text != c.text {
				t.Fatalf("error %#v", err)
			}
			if n := len(j.requests()); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

func problem(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

// A code this client has never heard of is still the relay's word.
func TestUnknownCode(t *testing.T) {
	srv, _ := serve(t, func(_ int, w http.ResponseWriter, _ request) {
		problem(w, 418, `{"code":"teapot","title":"T","status":999,"windows":["day"],"retryable":true}`)
	})
	_, err := newPlatform(t, srv.URL).Quota(t.Context())
	var e *relay.Error
	if !errors.As(err, &e) || e.Code != "teapot" || e.Status != 418 || !e.Retryable || len(e.Windows) != 1 {
		t.Fatalf("error %#v", err)
	}
}

func TestClockIsSetOnce(t *testing.T) {
	const ahead = 2 * time.Hour
	srv, j := serve(t, func(_ int, w http.ResponseWriter, r request) {
		theirs := time.Now().Add(ahead)
		if d := theirs.Sub(r.Signed.Timestamp); d > time.Minute || d < -time.Minute {
			problem(w, 401, fmt.Sprintf(`{"code":"timestamp_out_of_window","serverTime":%d}`, theirs.Unix()))
			return
		}
		accepted(w, r)
	})
	p := newPlatform(t, srv.URL, func(o *client.Options) { o.Attempts = 1 })
	for want := 2; want <= 3; want++ { // the second call signs right from the start
		if _, err := p.Submit(t.Context(), fetch); err != nil {
			t.Fatal(err)
		}
		if n := len(j.requests()); n != want {
			t.Errorf("%d requests, want %d", n, want)
		}
	}
}

// In simulated time: what the relay asks for is waited for, to the second, and
// nothing that would outlast the caller is begun.
func TestRetryAfter(t *testing.T) {
	seconds := func(n int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { refuse(w, relay.StoreUnavailable, n) }
	}
	date := func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", time.Now().Add(30*time.Second).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	limited := func(w http.ResponseWriter) { refuse(w, relay.RateLimited, 40) }
	throttled := func(w http.ResponseWriter) { refuse(w, relay.FailedAuthThrottled, 40) }
	wait := func(o *client.Options) { o.WaitOnLimit, o.Attempts = true, 2 } // waiting is not failing
	for name, c := range map[string]struct {
		fail     func(http.ResponseWriter)
		deadline time.Duration
		option   func(*client.Options)
		least    time.Duration // virtual time until the answer
		requests int
	}{
		"503, seconds":                 {fail: seconds(7), least: 21 * time.Second, requests: 4},
		"503, longer than sensible":    {fail: seconds(3600), requests: 1},
		"503, beyond the deadline":     {fail: seconds(7), deadline: 10 * time.Second, least: 7 * time.Second, requests: 2},
		"429 is returned":              {fail: limited, requests: 1},
		"429 is waited for":            {fail: limited, option: wait, least: 120 * time.Second, requests: 4},
		"429, beyond the deadline":     {fail: limited, option: wait, deadline: time.Minute, least: 40 * time.Second, requests: 2},
		"bad credentials never wait":   {fail: throttled, option: wait, requests: 1},
		"a proxy's date is understood": {fail: date, least: 0, requests: 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := &journal{t: t}
				relay := scripted(j, func(n int, w http.ResponseWriter, r request) {
					if n < 4 {
						c.fail(w)
						return
					}
					accepted(w, r)
				})
				options := []func(*client.Options){viaMemory(relay)}
				if c.option != nil {
					options = append(options, c.option)
				}
				p := newPlatform(t, "http://relay.test", options...)
				ctx := t.Context()
				if c.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.deadline)
					defer cancel()
				}
				begun := time.Now()
				_, err := p.Submit(ctx, fetch)
				if (err == nil) != (c.requests == 4) || ctx.Err() != nil {
					t.Errorf("error %v, context %v", err, ctx.Err())
				}
				if took := time.Since(begun); took < c.least || c.least > 0 && took > c.least+time.Second {
					t.Errorf("took %v, want %v", took, c.least)
				}
				if n := len(j.requests()); n != c.requests {
					t.Errorf("%d requests, want %d", n, c.requests)
				}
			})
		})
	}
}

// Waiting one's turn is not failing: it uses up no attempt.
func TestLimitsUseUpNoAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{t: t}
		busy := scripted(j, func(n int, w http.ResponseWriter, r request) {
			switch {
			case n < 6:
				refuse(w, relay.BacklogFull, 10)
			case n == 6:
				refuse(w, relay.Overloaded)
			default:
				accepted(w, r)
			}
		})
		p := newPlatform(t, "http://relay.test", viaMemory(busy), func(o *client.Options) { o.WaitOnLimit, o.Attempts = true, 2 })
		if _, err := p.Submit(t.Context(), fetch); err != nil {
			t.Error(err)
		}
	})
}

func TestSilentRelayTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{t: t}
		silent := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			j.take(r)
			<-r.Context().Done()
		})
		p := newPlatform(t, "http://relay.test", viaMemory(silent), func(o *client.Options) { o.Attempts = 2 })
		begun := time.Now()
		_, err := p.Quota(t.Context())
		if err == nil || errors.Is(err, context.DeadlineExceeded) || len(j.requests()) != 2 {
			t.Errorf("error %v after %d requests: the deadline was not the caller's", err, len(j.requests()))
		}
		if took := time.Since(begun); took < 30*time.Second || took > 31*time.Second {
			t.Errorf("two attempts took %v", took)
		}
	})
}

func TestCallerGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	srv, j := serve(t, func(_ int, w http.ResponseWriter, _ request) {
		refuse(w, relay.Overloaded, 50)
		time.AfterFunc(20*time.Millisecond, cancel) // while the client waits to try again
	})
	_, err := newPlatform(t, srv.URL).Quota(ctx)
	if !errors.Is(err, context.Canceled) || relay.CodeOf(err) != relay.Overloaded || len(j.requests()) != 1 {
		t.Errorf("error %v after %d requests", err, len(j.requests()))
	}
}

func TestWait(t *testing.T) {
	srv, j := serve(t, func(n int, w http.ResponseWriter, _ request) {
		job := relay.Job{ID: "job_1", State: relay.Running}
		if n == 3 {
			job.State, job.Result = relay.Succeeded, []byte(`{"finalUrl":"https://x"}`)
		}
		answer(w, http.StatusOK, job)
	})
	job, err := newPlatform(t, srv.URL).Wait(t.Context(), "job_1")
	if err != nil || job.State != relay.Succeeded || string(job.Result) != `{"finalUrl":"https://x"}` {
		t.Fatalf("Wait = %+v, %v", job, err)
	}
	for _, r := range j.requests() {
		if r.Target != "/api/links/jobs/job_1?wait=25" {
			t.Errorf("asked %s", r.Target)
		}
	}
}

// A relay that does not hold its answers is not asked in a tight loop.
func TestWaitPacesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{t: t}
		hasty := scripted(j, func(_ int, w http.ResponseWriter, _ request) {
			answer(w, http.StatusOK, relay.Job{ID: "job_1", State: relay.Running})
		})
		p := newPlatform(t, "http://relay.test", viaMemory(hasty), func(o *client.Options) { o.Backoff = client.Backoff{} })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		job, err := p.Wait(ctx, "job_1")
		if !errors.Is(err, context.DeadlineExceeded) || job.State != relay.Running {
			t.Errorf("Wait = %+v, %v", job, err)
		}
		if n := len(j.requests()); n > 300 { // every 5 s on average, after a quicker start
			t.Errorf("%d requests in ten minutes", n)
		}
	})
}

func TestSubmitAndWait(t *testing.T) {
	srv, _ := serve(t, func(_ int, w http.ResponseWriter, r request) {
		if r.Method == http.MethodPost {
			accepted(w, r)
			return
		}
		answer(w, http.StatusOK, relay.Job{ID: "job_1", State: relay.Dead, Error: "no such page"})
	})
	job, err := newPlatform(t, srv.URL).SubmitAndWait(t.Context(), fetch)
	if err != nil || job.State != relay.Dead || job.Error != "no such page" {
		t.Errorf("SubmitAndWait = %+v, %v", job, err)
	}
}

func TestQuota(t *testing.T) {
	srv, j := serve(t, func(_ int, w http.ResponseWriter, _ request) {
		status := relay.QuotaStatus{AccountID: "acc_1", Windows: []relay.Window{{Name: "day", Limit: 10, Used: 4, Remaining: 6, ResetSecs: 60}}}
		answer(w, http.StatusOK, status)
	})
	q, err := newPlatform(t, srv.URL).Quota(t.Context())
	if err != nil || q.AccountID != "acc_1" || q.Windows[0].Reset != time.Minute || j.requests()[0].Target != "/api/links/quota" {
		t.Errorf("Quota = %+v, %v", q, err)
	}
}

// Job ids and keys come from elsewhere: they must not become other paths.
func TestTargets(t *testing.T) {
	srv, j := serve(t, func(_ int, w http.ResponseWriter, _ request) { answer(w, http.StatusOK, relay.Job{}) })
	p := newPlatform(t, srv.URL+"/")
	_, _ = p.Job(t.Context(), "../quota?x=1", 0)
	_, _ = p.JobByKey(t.Context(), "a&b=c d", 1500*time.Millisecond)
	_, _ = p.Cancel(t.Context(), "job_1")
	var got []string
	for _, r := range j.requests() {
		got = append(got, r.Method+" "+r.Target)
	}
	want := []string{
		"GET /api/links/jobs/..%2Fquota%3Fx=1",
		"GET /api/links/jobs?idempotencyKey=a%26b%3Dc+d&wait=1",
		"DELETE /api/links/jobs/job_1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A cancel whose answer was lost is told as what it was; one that came too
// late is refused.
func TestCancel(t *testing.T) {
	for _, c := range []struct {
		lost  bool
		state relay.State
		fails bool
	}{{true, relay.Cancelled, false}, {true, relay.Succeeded, true}, {false, relay.Cancelled, true}} {
		srv, _ := serve(t, func(n int, w http.ResponseWriter, r request) {
			switch {
			case r.Method == http.MethodGet:
				answer(w, http.StatusOK, relay.Job{ID: "job_1", State: c.state})
			case n == 1 && c.lost:
				cut(w)
			default:
				refuse(w, relay.JobFinal)
			}
		})
		job, err := newPlatform(t, srv.URL).Cancel(t.Context(), "job_1")
		if (err != nil) != c.fails || !c.fails && job.State != relay.Cancelled {
			t.Errorf("%+v: Cancel = %+v, %v", c, job, err)
		}
	}
}

func TestOptions(t *testing.T) {
	good := client.Options{BaseURL: "https://relay.example", KeyID: apiKey, Secret: secret}
	if _, err := client.NewPlatform(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*client.Options){
		"no scheme":      func(o *client.Options) { o.BaseURL = "relay.example" },
		"ftp":            func(o *client.Options) { o.BaseURL = "ftp://relay.example" },
		"path":           func(o *client.Options) { o.BaseURL += "/v1" },
		"query":          func(o *client.Options) { o.BaseURL += "?a=1" },
		"user":           func(o *client.Options) { o.BaseURL = "https://me:pass@relay.example" },
		"mistyped key":   func(o *client.Options) { o.KeyID += "x" },
		"cut secret":     func(o *client.Options) { o.Secret = o.Secret[:20] },
		"device's key":   func(o *client.Options) { o.KeyID = deviceKey },
		"not a url \x00": func(o *client.Options) { o.BaseURL = "http://a\x00" },
	} {
		o := good
		change(&o)
		_, err := client.NewPlatform(o)
		if !errors.Is(err, client.ErrOptions) {
			t.Errorf("%s: error %v", name, err)
		} else if strings.Contains(err.Error(), secret[:10]) || strings.Contains(err.Error(), "pass") {
			t.Errorf("%s: error shows a secret: %v", name, err)
		}
	}
}
