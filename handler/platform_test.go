package handler_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"linkrelay/handler"
	"linkrelay/relay"
)

var windows = []relay.Window{
	{Name: "minute", Limit: 60, Used: 1, Remaining: 59, Reset: 900 * time.Millisecond, Length: time.Minute},
	{Name: "day", Limit: 1000, Used: 1, Remaining: 999, Reset: time.Hour, Length: 24 * time.Hour},
}

func wantHeaders(t *testing.T, h http.Header, want map[string]string) {
	t.Helper()
	for name, v := range want {
		if got := h.Get(name); got != v {
			t.Errorf("%s: %q, want %q", name, got, v)
		}
	}
}

func TestFetchAnswers(t *testing.T) {
	limits := map[string]string{
		"RateLimit-Policy": `"minute";q=60;w=60, "day";q=1000;w=86400`,
		"RateLimit":        `"minute";r=59;t=1, "day";r=999;t=3600`,
		"Cache-Control":    "no-store",
	}
	refused := relay.NewError(relay.QuotaExceeded, "")
	refused.RetryAfter, refused.Windows = 90500*time.Millisecond, []string{"day"}
	running := relay.Job{ID: jobID, State: relay.Running}
	done := relay.Job{ID: jobID, State: relay.Succeeded, Result: []byte(`{"finalUrl":"https://e.com"}`)}
	for _, tt := range []struct {
		name   string
		answer relay.Admission
		err    error
		status int
		extra  map[string]string
	}{
		{"admitted", relay.Admission{Job: relay.Job{ID: jobID, State: relay.Queued}}, nil, 202, map[string]string{"Location": "/api/links/jobs/" + jobID, "Idempotent-Replayed": ""}},
		{"a retry while open", relay.Admission{Job: running, Replayed: true}, nil, 202, map[string]string{"Idempotent-Replayed": "true"}},
		{"a retry when final", relay.Admission{Job: done, Replayed: true}, nil, 200, map[string]string{"Idempotent-Replayed": "true"}},
		{"refused", relay.Admission{}, refused, 429, map[string]string{"Retry-After": "91", "Location": ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := newStore()
			store.admit = func(relay.Caller, *relay.JobRequest) (relay.Admission, error) {
				tt.answer.Windows = windows
				return tt.answer, tt.err
			}
			w := do(newHandler(t, store, handler.Options{}, nil).Public(), fetch(goodBody))
			if w.Code != tt.status {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			wantHeaders(t, w.Header(), limits)
			wantHeaders(t, w.Header(), tt.extra)
			if tt.err != nil {
				if e := problem(t, w); len(e.Windows) != 1 || e.Windows[0] != "day" {
					t.Errorf("windows %q", e.Windows)
				}
			} else if job := decode[relay.Job](t, w, tt.status); string(job.Result) != string(tt.answer.Job.Result) || job.ID != jobID {
				t.Errorf("job %+v", job)
			}
		})
	}
}

func TestReadingAJob(t *testing.T) {
	store := newStore()
	var asked struct {
		what string
		wait time.Duration
	}
	store.job = func(_ relay.Caller, what string, wait time.Duration) (relay.Job, error) {
		asked.what, asked.wait = what, wait
		return relay.Job{ID: jobID, State: relay.Running}, nil
	}
	h := newHandler(t, store, handler.Options{}, nil)
	get := func(target string) relay.Job {
		return decode[relay.Job](t, do(h.Public(), signed(platform, "GET", target, "")), 200)
	}
	if get("/api/links/jobs/" + jobID + "?wait=25"); asked.what != jobID || asked.wait != 25*time.Second {
		t.Errorf("asked %+v", asked)
	}
	if get("/api/links/jobs/" + jobID); asked.wait != 0 {
		t.Errorf("asked %+v", asked)
	}
	key := "a key/with ünusual & characters"
	if get("/api/links/jobs?idempotencyKey=" + url.QueryEscape(key)); asked.what != key {
		t.Errorf("asked %+v", asked)
	}
	h.Drain() // a replica that is going away answers at once
	if get("/api/links/jobs/" + jobID + "?wait=25"); asked.wait != 0 {
		t.Errorf("asked %+v while draining", asked)
	}
}

// holdingStore holds every answer for as long as it may.
type holdingStore struct {
	*fakeStore
	held chan struct{}
}

func (s holdingStore) Job(ctx context.Context, _ relay.Caller, id string, _ time.Duration) (relay.Job, error) {
	s.held <- struct{}{}
	<-ctx.Done()
	return relay.Job{ID: id, State: relay.Running}, nil
}

func (s holdingStore) JobByKey(ctx context.Context, by relay.Caller, _ string, wait time.Duration) (relay.Job, error) {
	return s.Job(ctx, by, jobID, wait)
}

// Answers that are held when the drain begins are given at once: a platform
// that polls must not use up the time that a replica has to stop.
func TestDrainEndsHeldAnswers(t *testing.T) {
	store := holdingStore{newStore(), make(chan struct{})}
	h, err := handler.New(handler.Options{}, store, newLogger())
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan *httptest.ResponseRecorder, 2)
	for _, target := range []string{"/api/links/jobs/" + jobID + "?wait=25", "/api/links/jobs?idempotencyKey=k1&wait=25"} {
		go func() { answers <- do(h.Public(), signed(platform, "GET", target, "")) }()
		<-store.held
	}
	h.Drain()
	for range 2 {
		select {
		case w := <-answers:
			if job := decode[relay.Job](t, w, http.StatusOK); job.ID != jobID {
				t.Errorf("job %+v", job)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("the answer is still held")
		}
	}
}

func TestQueriesAreStrict(t *testing.T) {
	h := newHandler(t, newStore(), handler.Options{}, nil)
	job := "/api/links/jobs/" + jobID
	for target, pointer := range map[string]string{
		job + "?wait=26":                              "/query/wait",
		job + "?wait=-1":                              "/query/wait",
		job + "?wait=":                                "/query/wait",
		job + "?wait=1&wait=2":                        "/query/wait",
		job + "?Wait=1":                               "/query/Wait",
		job + "?a/b~c=1":                              "/query/a~1b~0c",
		job + "?a=%zz":                                "/query",
		"/api/links/jobs":                             "/query/idempotencyKey",
		"/api/links/jobs?idempotencyKey=":             "/query/idempotencyKey",
		"/api/links/jobs?idempotencyKey=a%00b":        "/query/idempotencyKey",
		"/api/links/jobs?idempotencyKey=a&cursor=abc": "/query/cursor",
	} {
		e := wantProblem(t, do(h.Public(), signed(platform, "GET", target, "")), relay.ValidationFailed)
		if len(e.Errors) != 1 || e.Errors[0].Pointer != pointer {
			t.Errorf("%s: %+v, want %s", target, e.Errors, pointer)
		}
	}
}

// What cannot be a job id is not looked for: the fake store would panic.
func TestImpossibleJobID(t *testing.T) {
	h := newHandler(t, newStore(), handler.Options{}, nil)
	wantProblem(t, do(h.Public(), signed(platform, "GET", "/api/links/jobs/job_1", "")), relay.NotFound)
	wantProblem(t, do(h.Public(), signed(platform, "DELETE", "/api/links/jobs/..", "")), relay.NotFound)
}
