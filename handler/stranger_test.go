package handler_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"linkrelay/handler"
	"linkrelay/relay"
	"linkrelay/signature"
)

// guessing returns a handler whose client, the address of all these requests,
// has just used up its guesses.
func guessing(t *testing.T, store *fakeStore) *handler.Handler {
	t.Helper()
	h := newHandler(t, store, handler.Options{}, nil)
	if w := do(h.Public(), fetch(goodBody)); w.Code != http.StatusAccepted {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for range 60 {
		do(h.Public(), badlySigned(signature.NewKeyID(signature.KindLive)))
	}
	return h
}

// Who shares an address with a key that verifies there cannot tell that it does:
// not by being heard, nor by how, and however often it asks.
func TestThrottleTellsNothingOfNeighbours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		h := guessing(t, store)
		store.remembered = store.credentials // as after its owner's request
		looked := store.lookups.Load()
		for name, mend := range map[string]func(*http.Request){
			"as it is":             func(*http.Request) {},
			"without a nonce":      func(r *http.Request) { r.Header.Del(signature.HeaderNonce) },
			"of the past":          func(r *http.Request) { r.Header.Set(signature.HeaderTimestamp, "1700000000") },
			"of another type":      func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
			"with a broken body":   func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("")) },
			"with a right mistake": func(r *http.Request) { mistaken(r) },
		} {
			for range 25 { // more than the failures of one client and key
				ask := func(keyID string) (int, relay.Code, string) {
					r := badlySigned(keyID)
					mend(r)
					w := do(h.Public(), r)
					return w.Code, problem(t, w).Code, w.Header().Get("Retry-After")
				}
				status, code, after := ask(platform.KeyID)
				status2, code2, after2 := ask(signature.NewKeyID(signature.KindLive))
				if status != status2 || code != code2 || after != after2 {
					t.Fatalf("%s: %d %s %q for the neighbour's key, %d %s %q for an unknown one", name, status, code, after, status2, code2, after2)
				}
			}
		}
		wantProblem(t, do(h.Public(), badlySigned(platform.KeyID)), relay.FailedAuthThrottled)
		if n := store.lookups.Load(); n != looked {
			t.Errorf("%d look-ups for somebody who guesses", n-looked)
		}
		if w := do(h.Public(), fetch(goodBody)); w.Code != http.StatusAccepted {
			t.Errorf("the neighbour: %d %s", w.Code, w.Body)
		}
	})
}

// mistaken makes a signature of which a diagnosis would tell.
func mistaken(r *http.Request) {
	for name, values := range platform.V1(inMinutes(0), signature.NewNonce(), []byte(strings.TrimSpace(goodBody)+"\n")) {
		if name != signature.HeaderKey {
			r.Header[name] = values
		}
	}
}

// A key that verified from an address and has gone since is looked up no more
// often than any other that fails there.
func TestLookUpsOfAGoneKeyAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		h := guessing(t, store)
		delete(store.credentials, platform.KeyID)
		looked := store.lookups.Load()
		for range 100 {
			wantProblem(t, do(h.Public(), fetch(goodBody)), relay.FailedAuthThrottled)
		}
		if n := store.lookups.Load() - looked; n != 20 {
			t.Errorf("%d look-ups, want a burst of 20", n)
		}
	})
}

// The search for a mistake is paid for by the size of the body, so that the
// largest, which only desktops may send, cannot take the time of many.
func TestLargeBodiesUseUpMoreDiagnoses(t *testing.T) {
	for name, c := range map[string]struct{ size, diagnosed int }{
		"as large as a platform's": {relay.MaxFetchBody, 200},
		"as large as a desktop's":  {relay.MaxActionBody, 40},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHandler(t, newStore(), handler.Options{}, nil)
				body, diagnosed := strings.Repeat(" ", c.size-2)+"{}", 0
				for n := range 250 {
					const target = "/api/desktop/keys"
					r := signed(device, "POST", target, body)
					for name, values := range device.V2(inMinutes(0), signature.NewNonce(), "POST", target, []byte("{}")) {
						r.Header[name] = values
					}
					r.RemoteAddr = fmt.Sprintf("203.0.113.%d:4711", n)
					if wantProblem(t, do(h.Public(), r), relay.SignatureInvalid).Diagnosis != "" {
						diagnosed++
					}
				}
				if diagnosed != c.diagnosed {
					t.Errorf("%d of 250 mistakes were named, want %d", diagnosed, c.diagnosed)
				}
			})
		})
	}
}
