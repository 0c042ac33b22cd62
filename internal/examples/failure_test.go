package examples_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"linkrelay/relay"
	"linkrelay/signature"
)

const somewhere = "https://click.example/c/7" // that nobody follows

var submit = []string{"submit", somewhere, "crm", "7"}

// Whoever has not the secret learns nothing.
func TestWrongSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.link(t, `"plan":"business"`).key(t)
	all(t, func(t *testing.T, language, scheme string) {
		wrong := example{language, scheme, w.public, credentials{key.id, signature.NewSecret()}}
		wrong.fails(t, "401 signature_invalid", nil, submit...)
	})
}

// Whoever has it is told what went wrong: here a proxy changed the body.
func TestDiagnosis(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.link(t, `"plan":"business"`).key(t)
	each(t, func(t *testing.T, language string) {
		for _, scheme := range []string{"link-peeler", "link-peeler-v1", "iklim"} { // signed-query signs no body
			h := newHop(t, w.public, mischief{change: func(_ *http.Request, body []byte) []byte { return append(body, '\n') }})
			e := example{language, scheme, h.URL, key}
			p := e.fails(t, "401 signature_invalid", []string{"diagnosis: "}, submit...)
			if p.Diagnosis == "" {
				t.Errorf("%s: %+v", scheme, p)
			}
		}
	})
}

// Whose clock is wrong is told both.
func TestStale(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "RELAY_MAX_SKEW=1s")
	key := w.link(t, `"plan":"business"`).key(t)
	each(t, func(t *testing.T, language string) {
		for _, scheme := range []string{"link-peeler", "iklim"} {
			h := newHop(t, w.public, mischief{change: func(_ *http.Request, body []byte) []byte {
				time.Sleep(2100 * time.Millisecond) // longer than this relay allows, whatever part of a second was cut off
				return body
			}})
			p := example{language, scheme, h.URL, key}.fails(t, "401 timestamp_out_of_window", nil, "quota")
			if p.ServerTime == 0 || p.ReceivedTimestamp == "" || p.MaxSkewSeconds != 1 {
				t.Errorf("%s: %+v", scheme, p)
			}
		}
	})
}

// Somebody on the way sends the request twice: the second is refused, and the
// example says so.
func TestReplayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.link(t, `"plan":"business"`).key(t)
	each(t, func(t *testing.T, language string) {
		for _, scheme := range []string{"link-peeler", "iklim"} { // signed-query has no nonce
			h := newHop(t, w.public, mischief{change: func(r *http.Request, body []byte) []byte {
				passOn(t, w.public, r)
				return body
			}})
			example{language, scheme, h.URL, key}.fails(t, "409 nonce_replayed", nil, "quota")
		}
	})
}

// passOn sends a copy of a request without body, which must pass.
func passOn(t *testing.T, to string, r *http.Request) {
	first, err := http.NewRequestWithContext(r.Context(), r.Method, to+r.RequestURI, nil)
	if err != nil {
		t.Error(err)
		return
	}
	first.Header = r.Header.Clone()
	response, err := http.DefaultClient.Do(first)
	if err != nil {
		t.Error(err)
		return
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("the first one is answered %s", response.Status)
	}
}

// After 429 the identical request goes again, and passes.
func TestRateLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	each(t, func(t *testing.T, language string) {
		d := w.link(t, `"plan":"business","limits":{"perMinute":20}`) // one every three seconds after the first 20
		key := d.key(t)
		var once sync.Once
		h := newHop(t, w.public, mischief{change: func(_ *http.Request, body []byte) []byte {
			once.Do(func() { d.fill(t, key) }) // now, lest there is room again when an example has started
			return body
		}})
		example{language, "link-peeler", h.URL, key}.succeeds(t, submit...)
		h.resentIdentically(t, http.StatusTooManyRequests)
	})
}

// fill makes jobs until the relay takes no more.
func (d device) fill(t *testing.T, key credentials) {
	for i := range 100 {
		err := d.submits(t, key, fmt.Sprint("job ", i))
		if relay.CodeOf(err) == relay.RateLimited {
			return
		} else if err != nil {
			t.Errorf("job %d: %v", i, err)
		}
	}
	t.Error("there is no limit")
}

// When the relay wants to be left alone for longer than a signature is good
// for, its refusal is shown at once.
func TestQuotaExceeded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.link(t, `"plan":"business","limits":{"perMonth":1}`)
	key := d.key(t)
	if err := d.submits(t, key, "the one"); err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, language string) {
		h := newHop(t, w.public, mischief{})
		example{language, "link-peeler", h.URL, key}.fails(t, "429 quota_exceeded", nil, submit...)
		if _, statuses := h.passed(); len(statuses) != 1 {
			t.Errorf("answered %v", statuses)
		}
	})
}

// While Redis is away the answer is 503; the identical request passes when it
// is back.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, language string) {
		w := newWorld(t)
		key := w.link(t, `"plan":"business"`).key(t)
		h := newHop(t, w.public, mischief{answered: func(int) { w.redis.Resume() }})
		w.redis.Pause()
		example{language, "link-peeler", h.URL, key}.succeeds(t, submit...)
		h.resentIdentically(t, http.StatusServiceUnavailable)
	})
}

// resentIdentically checks that the first request was refused with the status
// and then sent again as it was, until it passed.
func (h *hop) resentIdentically(t *testing.T, status int) {
	t.Helper()
	requests, statuses := h.passed()
	if len(requests) < 2 || statuses[0] != status || statuses[len(statuses)-1] != http.StatusAccepted {
		t.Fatalf("%d requests, answered %v", len(requests), statuses)
	}
	if unique := slices.Compact(requests); len(unique) != 1 {
		t.Errorf("sent again was another request: %+v", unique)
	}
}

// When the answer was lost nobody knows whether the job was made. Under its
// idempotency key the request is signed anew, and it stays one job.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.link(t, `"plan":"business"`).key(t)
	all(t, func(t *testing.T, language, scheme string) {
		h := newHop(t, w.public, mischief{lose: 1})
		e, name := example{language, scheme, h.URL, key}, uuid.NewString()
		var id string
		if again := append(submit[:4:4], name); scheme == "iklim" {
			id = e.fails(t, "409 idempotency_key_reused", nil, again...).JobID
		} else {
			id = e.succeeds(t, again...).JobID
		}
		requests, statuses := h.passed()
		if len(requests) != 2 || statuses[0] != http.StatusAccepted || requests[0].body != requests[1].body ||
			scheme != "signed-query" && requests[0].signing == requests[1].signing {
			t.Errorf("answered %v: %+v", statuses, requests)
		}
		if found := e.succeeds(t, "find", name); id == "" || found.JobID != id {
			t.Errorf("%+v, want %s", found, id)
		}
	})
}

// A signature is for one address: a redirect is not followed, but shown.
func TestRedirected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.link(t, `"plan":"business"`).key(t)
	moved := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, w.public+r.RequestURI, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(moved.Close)
	each(t, func(t *testing.T, language string) {
		out := example{language, "link-peeler", moved.URL, key}.run(t, "quota")
		if want := "307 no_answer_of_the_relay: "; out.code != 1 || out.stdout != "" || !strings.HasPrefix(out.stderr, want) {
			t.Errorf("exit %d\n%s%s", out.code, out.stdout, out.stderr)
		}
	})
}

// Where there is no relay at all, that is said.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, language string) {
		out := example{language, "link-peeler", "http://127.0.0.1:1", credentials{"lp_live_x", "lps_x"}}.run(t, "quota")
		if want := "599 no_answer_of_the_relay: "; out.code != 1 || out.stdout != "" || len(out.stderr) < len(want)+10 || !strings.HasPrefix(out.stderr, want) {
			t.Errorf("exit %d\n%s%s", out.code, out.stdout, out.stderr)
		}
	})
}
