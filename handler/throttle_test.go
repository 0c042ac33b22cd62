package handler_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"linkrelay/handler"
	"linkrelay/relay"
	"linkrelay/signature"
)

func badlySigned(keyID string) *http.Request {
	r := fetch(goodBody)
	r.Header.Set(signature.HeaderKey, keyID)
	r.Header.Set(signature.HeaderSignature, strings.Repeat("0", 64))
	return r
}

// After a burst of failures a pair of client and key is refused without any
// look-up, while other keys behind the same address go on; with time it is
// heard again.
func TestFailuresAreThrottledPerClientAndKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		other := signature.NewKeyID(signature.KindTest)
		cred := *store.credentials[platform.KeyID]
		cred.KeyID = other
		store.credentials[other] = &cred
		h := newHandler(t, store, handler.Options{}, nil)
		for range 20 {
			wantProblem(t, do(h.Public(), badlySigned(other)), relay.SignatureInvalid)
		}
		before := store.lookups.Load()
		w := do(h.Public(), badlySigned(other))
		wantProblem(t, w, relay.FailedAuthThrottled)
		if w.Header().Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
		}
		if store.lookups.Load() != before {
			t.Error("a throttled request was looked up")
		}
		if w := do(h.Public(), fetch(goodBody)); w.Code != http.StatusAccepted {
			t.Errorf("another key behind the same address: %d", w.Code)
		}
		time.Sleep(time.Second)
		wantProblem(t, do(h.Public(), badlySigned(other)), relay.SignatureInvalid)
	})
}

// Failures that were under way together, however many, do not lock out for long
// whoever shares the address: a body that is held back keeps a request in the
// state of having been let through.
func TestFailuresAtOnceCostOneBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(t, newStore(), handler.Options{}, nil)
		var bodies []*io.PipeWriter
		var answers sync.WaitGroup
		for range 500 {
			r := badlySigned(platform.KeyID)
			body, w := io.Pipe()
			r.Body = body
			bodies = append(bodies, w)
			answers.Go(func() { do(h.Public(), r) })
		}
		synctest.Wait() // all of them were let through and wait for their bodies
		for _, w := range bodies {
			_, _ = io.WriteString(w, goodBody)
			_ = w.Close()
		}
		answers.Wait()
		w := do(h.Public(), fetch(goodBody))
		wantProblem(t, w, relay.FailedAuthThrottled)
		if w.Header().Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
		}
		time.Sleep(time.Second)
		if w := do(h.Public(), fetch(goodBody)); w.Code != http.StatusAccepted {
			t.Errorf("after that wait: %d %s", w.Code, w.Body)
		}
	})
}

// Guesses cost a look-up each, so their number is bounded per client; a key that
// verified from there before is still heard.
func TestGuessesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		h := newHandler(t, store, handler.Options{}, nil)
		do(h.Public(), fetch(goodBody))
		for range 200 {
			do(h.Public(), badlySigned(signature.NewKeyID(signature.KindLive)))
		}
		if n := store.lookups.Load(); n != 51 {
			t.Errorf("%d look-ups, want the good one and a burst of 50", n)
		}
		if w := do(h.Public(), fetch(goodBody)); w.Code != http.StatusAccepted {
			t.Errorf("a verified key behind the same address: %d", w.Code)
		}
	})
}

// What a client that guesses is told does not depend on whether a key exists,
// nor on whether its owner, elsewhere, uses it right now.
func TestThrottleTellsNothingOfKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(t, newStore(), handler.Options{}, nil)
		do(h.Public(), fetch(goodBody)) // the owner, from 192.0.2.1
		guess := func(keyID string) relay.Code {
			r := badlySigned(keyID)
			r.RemoteAddr = "203.0.113.9:4711"
			return problem(t, do(h.Public(), r)).Code
		}
		for i := range 60 {
			known, unknown := guess(platform.KeyID), guess(signature.NewKeyID(signature.KindLive))
			if i < 20 && (known != relay.SignatureInvalid || unknown != known) || i > 50 && (known != relay.FailedAuthThrottled || unknown != known) {
				t.Fatalf("round %d: %s for a known key, %s for an unknown one", i, known, unknown)
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// Sending a request again makes no job, so no window bounds it; it does leave a
// nonce behind.
func TestReplaysAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		store.admit = func(relay.Caller, *relay.JobRequest) (relay.Admission, error) {
			return relay.Admission{Job: relay.Job{ID: jobID, State: relay.Queued}, Replayed: true}, nil
		}
		h := newHandler(t, store, handler.Options{}, nil)
		for i := range 1000 {
			if w := do(h.Public(), fetch(goodBody)); w.Code != http.StatusAccepted {
				t.Fatalf("replay %d: %d %s", i, w.Code, w.Body)
			}
		}
		wantProblem(t, do(h.Public(), fetch(goodBody)), relay.RateLimited)
		time.Sleep(5 * time.Millisecond)
		if w := do(h.Public(), fetch(goodBody)); w.Code != http.StatusAccepted {
			t.Errorf("after a while: %d", w.Code)
		}
	})
}

func TestWrongOperatorTokensAreThrottled(t *testing.T) {
	h := newHandler(t, newStore(), handler.Options{}, nil)
	for i := range 21 {
		r := asOperator("GET", "/api/admin/accounts/acme", "")
		r.Header.Set("Authorization", "Bearer wrong")
		want := relay.Unauthorized
		if i == 20 {
			want = relay.FailedAuthThrottled
		}
		wantProblem(t, do(h.Admin(), r), want)
	}
}

func TestLinkAttemptsAreThrottled(t *testing.T) {
	store := newStore()
	attempts := 0
	store.link = func(string, relay.DeviceSpec) (string, error) {
		attempts++
		return "", relay.NewError(relay.LinkCodeInvalid, "")
	}
	h := newHandler(t, store, handler.Options{}, nil)
	for range 100 {
		do(h.Public(), asOperator("POST", "/api/desktop/link", `{"code":"x","name":"n","platform":"p"}`))
	}
	if attempts < 20 || attempts > 21 {
		t.Errorf("%d attempts reached the store, want a burst of 20", attempts)
	}
}

// A key that proved itself is bounded too: what its calls leave in Redis must
// not fill everybody's. Creating jobs has the account's windows instead.
func TestCallsOfOneKeyAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		store.job = func(relay.Caller, string, time.Duration) (relay.Job, error) {
			return relay.Job{ID: jobID, State: relay.Queued}, nil
		}
		h := newHandler(t, store, handler.Options{}, nil)
		read := func() *http.Request { return signed(platform, "GET", "/api/links/jobs/"+jobID, "") }
		for i := range 1000 {
			if w := do(h.Public(), read()); w.Code != http.StatusOK {
				t.Fatalf("call %d: %d %s", i, w.Code, w.Body)
			}
		}
		w := do(h.Public(), read())
		if wantProblem(t, w, relay.RateLimited); w.Header().Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
		}
		if w := do(h.Public(), fetch(goodBody)); w.Code != http.StatusAccepted {
			t.Errorf("a job of the same key: %d", w.Code)
		}
		time.Sleep(5 * time.Millisecond)
		if w := do(h.Public(), read()); w.Code != http.StatusOK {
			t.Errorf("after a while: %d", w.Code)
		}
	})
}

func TestKeysAreNotCreatedWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		store.createKey = func(k relay.KeySpec) (relay.Key, error) { return relay.Key{ID: k.ID}, nil }
		h := newHandler(t, store, handler.Options{}, nil)
		create := func() *http.Request { return signed(device, "POST", "/api/desktop/keys", `{"name":"k"}`) }
		for range 20 {
			if w := do(h.Public(), create()); w.Code != http.StatusCreated {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		}
		w := do(h.Public(), create())
		if wantProblem(t, w, relay.RateLimited); w.Header().Get("Retry-After") != "10" {
			t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
		}
	})
}
