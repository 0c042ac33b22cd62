package handler_test

import (
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"linkrelay/handler"
	"linkrelay/relay"
	"linkrelay/signature"
)

// A request that is wrong in every way is mended one step at a time: each
// refusal must hide all later ones (CONTRACT §5, Order).
func TestOrderOfChecks(t *testing.T) {
	store := newStore()
	cred := store.credentials[platform.KeyID]
	cred.Schemes, cred.Scopes, cred.CIDRs = nil, nil, []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	store.admit = func(relay.Caller, *relay.JobRequest) (relay.Admission, error) {
		return relay.Admission{}, relay.NewError(relay.MembershipInactive, "")
	}
	h := newHandler(t, store, handler.Options{}, nil)
	for range 20 { // so that this client's failures with this key are throttled
		r := fetch(goodBody)
		r.Header.Set(signature.HeaderSignature, strings.Repeat("0", 64))
		do(h.Public(), r)
	}

	r := struct {
		ip, body, length, contentType, padding, signature string
		at                                                time.Time
		nonce                                             bool
	}{
		ip: "192.0.2.1", body: `{"x`, length: "99999", padding: strings.Repeat("x", relay.MaxHeaderBytes),
		signature: "zz", at: time.Now().Add(-time.Hour),
	}
	send := func() *httptest.ResponseRecorder {
		req := httptest.NewRequest(http.MethodPost, "/api/links/fetch", strings.NewReader(r.body))
		for name, v := range platform.V1(r.at, "a-nonce-of-20-letters", []byte(r.body)) {
			req.Header[name] = v
		}
		if !r.nonce {
			req.Header.Del(signature.HeaderNonce)
		}
		if r.signature != "" {
			req.Header.Set(signature.HeaderSignature, r.signature)
		}
		if r.contentType != "" {
			req.Header.Set("Content-Type", r.contentType)
		}
		if r.length != "" {
			req.ContentLength, _ = strconv.ParseInt(r.length, 10, 64)
		}
		req.Header.Set("X-Padding", r.padding)
		req.RemoteAddr = r.ip + ":4711"
		return do(h.Public(), req)
	}
	for _, step := range []struct {
		mend func()
		want relay.Code
	}{
		{func() {}, relay.HeadersTooLarge},
		{func() { r.padding = "" }, relay.FailedAuthThrottled},
		{func() { r.ip = "203.0.113.9" }, relay.HeaderMissing},
		{func() { r.nonce = true }, relay.HeaderMalformed},
		{func() { r.signature = strings.Repeat("0", 64) }, relay.UnsupportedMediaType},
		{func() { r.contentType = "application/json; charset=UTF-8" }, relay.BodyTooLarge},
		{func() { r.length = "" }, relay.TimestampOutOfWindow},
		{func() { r.at = time.Now() }, relay.SignatureInvalid},
		{func() { r.signature = "" }, relay.SchemeNotAllowed},
		{func() { cred.Schemes = []relay.Scheme{relay.SchemeLinkPeeler} }, relay.ScopeMissing},
		{func() { cred.Scopes = relay.DefaultScopes }, relay.IPNotAllowed},
		{func() { r.ip = "198.51.100.7" }, relay.BodyMalformed},
		{func() { r.body = `{"x":1}` }, relay.ValidationFailed},
		{func() { r.body = goodBody }, relay.MembershipInactive},
	} {
		step.mend()
		if got := problem(t, send()); got.Code != step.want {
			t.Fatalf("got %s (%s), want %s", got.Code, got.Detail, step.want)
		}
	}
}

// Nobody without the secret can tell an unknown key from a wrong signature, or
// from a key id with a typing mistake.
func TestFailedSignaturesLookTheSame(t *testing.T) {
	store := newStore()
	h := newHandler(t, store, handler.Options{}, nil)
	answer := func(keyID string) string {
		r := fetch(goodBody)
		r.Header.Set("X-Request-Id", "same")
		r.Header.Set(signature.HeaderKey, keyID)
		r.Header.Set(signature.HeaderSignature, "v2="+hex.EncodeToString(make([]byte, 32)))
		w := do(h.Public(), r)
		if w.Code != http.StatusUnauthorized {
			t.Errorf("status %d", w.Code)
		}
		var b strings.Builder
		_ = w.Header().Write(&b)
		return b.String() + w.Body.String()
	}
	known := answer(platform.KeyID)
	if unknown := answer(signature.NewKeyID(signature.KindLive)); unknown != known {
		t.Errorf("unknown key:\n%s\nwrong signature:\n%s", unknown, known)
	}
	before := store.lookups.Load()
	if mistyped := answer(platform.KeyID[:len(platform.KeyID)-1] + "_"); mistyped != known {
		t.Errorf("mistyped key:\n%s\nwrong signature:\n%s", mistyped, known)
	}
	if store.lookups.Load() != before {
		t.Error("a key id with a wrong checksum was looked up")
	}
}

// A replica that remembers a key looks again before it refuses: a secret that was
// made since is known at once, and a refusal costs one look-up for every key.
func TestRefusalsLookAgain(t *testing.T) {
	store := newStore()
	fresh := store.credentials[platform.KeyID]
	store.remembered = map[string]*relay.Credential{platform.KeyID: {KeyID: platform.KeyID, Account: "acme",
		Secrets: []string{signature.NewSecret()}, SecretIDs: []string{relay.SecretID(platform.KeyID, 0)}}}
	h := newHandler(t, store, handler.Options{}, nil)
	if w := do(h.Public(), fetch(goodBody)); w.Code != http.StatusAccepted || store.used.Load() != fresh.SecretIDs[0] {
		t.Errorf("%d %s, counted %v", w.Code, w.Body, store.used.Load())
	}
	store.remembered[platform.KeyID] = fresh
	for name, keyID := range map[string]string{"remembered": platform.KeyID, "looked up": device.KeyID, "unknown": signature.NewKeyID(signature.KindLive)} {
		before := store.lookups.Load()
		wantProblem(t, do(h.Public(), badlySigned(keyID)), relay.SignatureInvalid)
		if n := store.lookups.Load() - before; n != 1 {
			t.Errorf("%s: %d look-ups", name, n)
		}
	}
}

func TestKeysStayOnTheirSide(t *testing.T) {
	h := newHandler(t, newStore(), handler.Options{}, nil)
	wantProblem(t, do(h.Public(), signed(device, "GET", "/api/links/quota", "")), relay.ScopeMissing)
	wantProblem(t, do(h.Public(), signed(platform, "GET", "/api/desktop/keys", "")), relay.ScopeMissing)
	wantProblem(t, do(h.Public(), signed(device, "POST", "/api/links/fetch", goodBody)), relay.ScopeMissing)
}

// v1 covers neither method nor path, so it is taken for one call only.
func TestV1IsForFetchOnly(t *testing.T) {
	h := newHandler(t, newStore(), handler.Options{}, nil)
	v1 := func(method, target, body string) *http.Request {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		r.Header = platform.V1(time.Now(), signature.NewNonce(), []byte(body))
		r.Header.Set("Content-Type", "application/json")
		return r
	}
	if w := do(h.Public(), v1("POST", "/api/links/fetch", goodBody)); w.Code != http.StatusAccepted {
		t.Errorf("fetch: %d %s", w.Code, w.Body)
	}
	e := wantProblem(t, do(h.Public(), v1("GET", "/api/links/quota", "")), relay.HeaderMalformed)
	if e.Header != signature.HeaderSignature {
		t.Errorf("header %q", e.Header)
	}
}

func TestSkewNamesBothTimes(t *testing.T) {
	h := newHandler(t, newStore(), handler.Options{MaxSkew: 30 * time.Second}, nil)
	r := httptest.NewRequest(http.MethodGet, "/api/links/quota", nil)
	at := time.Now().Add(31 * time.Second)
	r.Header = platform.V2(at, signature.NewNonce(), "GET", "/api/links/quota", nil)
	e := wantProblem(t, do(h.Public(), r), relay.TimestampOutOfWindow)
	if e.ReceivedTimestamp != strconv.FormatInt(at.Unix(), 10) || e.MaxSkewSeconds != 30 || e.ServerTime == 0 {
		t.Errorf("%+v", e)
	}
}

func TestStoreDownAtLookup(t *testing.T) {
	store := newStore()
	store.lookupErr = relay.NewError(relay.StoreUnavailable, "")
	h := newHandler(t, store, handler.Options{}, nil)
	w := do(h.Public(), fetch(goodBody))
	wantProblem(t, w, relay.StoreUnavailable)
	if n, _ := strconv.Atoi(w.Header().Get("Retry-After")); n < 1 || n > 5 {
		t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
	}
}

func TestCallerCarriesTheProof(t *testing.T) {
	store := newStore()
	var got relay.Caller
	admit := store.admit
	store.admit = func(by relay.Caller, r *relay.JobRequest) (relay.Admission, error) {
		got = by
		return admit(by, r)
	}
	h := newHandler(t, store, handler.Options{}, nil)
	r := fetch(goodBody)
	do(h.Public(), r)
	if got.Account != "acme" || got.KeyID != platform.KeyID || got.Nonce != r.Header.Get(signature.HeaderNonce) {
		t.Errorf("%+v", got)
	}
	if least := 5*time.Minute - 2*time.Second; got.NonceTTL < least {
		t.Errorf("nonce kept %v, must outlive the window of %v", got.NonceTTL, least)
	}
}
