package handler_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"linkrelay/handler"
	"linkrelay/relay"
	"linkrelay/signature"
)

// allRights is a store whose platform key may do all there is.
func allRights() *fakeStore {
	store := newStore()
	cred := store.credentials[platform.KeyID]
	cred.Schemes = []relay.Scheme{relay.SchemeLinkPeeler, relay.SchemeIklim, relay.SchemeSignedQuery}
	cred.Scopes = append([]relay.Scope{relay.ScopeJobsCreateQuery}, relay.DefaultScopes...)
	return store
}

// asIklim returns a request signed as scheme iklim has it.
func asIklim(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header = platform.Iklim(time.Now(), uuid.NewString(), uuid.NewString(), method, target, []byte(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

var queryJob = signature.QueryJob{IdempotencyKey: "k1", TrackingURL: "https://example.com/a?b=c", Source: "crm", RowID: "7"}

func inMinutes(n int) time.Time { return time.Now().Add(time.Duration(n) * time.Minute) }

func plainly(method, target string) *http.Request { return httptest.NewRequest(method, target, nil) }

const keylessBody = `{"trackingUrl":"https://example.com/a?b=c","source":"crm","rowId":"7"}`

func TestIklimTakesItsIdempotencyKeyFromTheHeader(t *testing.T) {
	store := allRights()
	var by relay.Caller
	var got *relay.JobRequest
	admit := store.admit
	store.admit = func(c relay.Caller, r *relay.JobRequest) (relay.Admission, error) {
		by, got = c, r
		return admit(c, r)
	}
	h := newHandler(t, store, handler.Options{}, nil)
	r := asIklim("POST", "/api/links/fetch", keylessBody)
	r.Header.Set(signature.HeaderIklimIdempotency, strings.ToUpper(r.Header.Get(signature.HeaderIklimIdempotency)))
	if w := do(h.Public(), r); w.Code != http.StatusAccepted {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	want := strings.ToLower(r.Header.Get(signature.HeaderIklimIdempotency))
	if got.IdempotencyKey != want || by.Once == "" || by.Nonce != r.Header.Get(signature.HeaderIklimNonce) || by.SecretID != platform.KeyID+".1" {
		t.Errorf("key %q of %q, caller %+v", got.IdempotencyKey, want, by)
	}
	if store.used.Load() != platform.KeyID+".1" {
		t.Errorf("counted %v", store.used.Load())
	}

	e := wantProblem(t, do(h.Public(), asIklim("POST", "/api/links/fetch", goodBody)), relay.ValidationFailed)
	if len(e.Errors) != 1 || e.Errors[0].Pointer != "/idempotencyKey" {
		t.Errorf("a body that says another key: %+v", e.Errors)
	}
}

// A refusal under iklim has the members that its callers read, beside ours.
func TestIklimProblems(t *testing.T) {
	h := newHandler(t, allRights(), handler.Options{}, nil)
	for name, c := range map[string]struct {
		mend func(*http.Request)
		want relay.Code
	}{
		"no nonce":        {func(r *http.Request) { r.Header.Del(signature.HeaderIklimNonce) }, relay.HeaderMissing},
		"no signature":    {func(r *http.Request) { r.Header.Del(signature.HeaderIklimSignature) }, relay.HeaderMissing},
		"wrong signature": {func(r *http.Request) { r.Header.Set(signature.HeaderIklimSignature, strings.Repeat("0", 64)) }, relay.SignatureInvalid},
		"stale":           {func(r *http.Request) { r.Header.Set(signature.HeaderIklimTimestamp, "1700000000000") }, relay.TimestampOutOfWindow},
		"large":           {func(r *http.Request) { r.Header.Set("X-Padding", strings.Repeat("x", relay.MaxHeaderBytes)) }, relay.HeadersTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			r := asIklim("POST", "/api/links/fetch?x=%7C", keylessBody)
			c.mend(r)
			w := do(h.Public(), r)
			wantProblem(t, w, c.want)
			var e struct {
				Timestamp            time.Time
				Status               int
				Error, Message, Path string
			}
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			if time.Since(e.Timestamp) > time.Minute || e.Status != w.Code || e.Error != http.StatusText(w.Code) || e.Message == "" || e.Path != "/api/links/fetch" {
				t.Errorf("%+v", e)
			}
		})
	}
	wantProblem(t, do(h.Public(), asIklim("GET", "/api/desktop/keys", "")), relay.HeaderMissing)
	for code, r := range map[relay.Code]*http.Request{
		relay.NotFound: asIklim("GET", "/api/links/nothing", ""), relay.MethodNotAllowed: asIklim("PUT", "/api/links/quota", ""),
	} {
		w := do(h.Public(), r)
		if wantProblem(t, w, code); !strings.Contains(w.Body.String(), `"path":"`+r.URL.Path+`"`) {
			t.Errorf("%s: %s", code, w.Body)
		}
	}
}

func TestSignedQueryCreates(t *testing.T) {
	store := allRights()
	var got relay.JobRequest
	admit := store.admit
	store.admit = func(c relay.Caller, r *relay.JobRequest) (relay.Admission, error) {
		got = *r
		return admit(c, r)
	}
	h := newHandler(t, store, handler.Options{}, nil)
	for _, method := range []string{"GET", "POST"} {
		if w := do(h.Public(), plainly(method, "/api/links/fetch?"+platform.CreateQuery(inMinutes(5), queryJob))); w.Code != http.StatusAccepted {
			t.Errorf("%s: %d %s", method, w.Code, w.Body)
		}
		if got.IdempotencyKey != "k1" || got.TrackingURL != queryJob.TrackingURL || got.Source != "crm" || got.RowID != "7" || got.Expiry != relay.DefaultExpiry {
			t.Errorf("%s: %+v", method, got)
		}
	}
	private := queryJob
	private.TrackingURL = "http://10.0.0.1/"
	bad := queryJob
	bad.Source, bad.RowID = "a\nb", ""
	for name, c := range map[string]struct {
		query    string
		want     relay.Code
		pointers string
	}{
		"a body's member":   {platform.CreateQuery(inMinutes(5), queryJob) + "&context=x", relay.ValidationFailed, "/query/context"},
		"a value twice":     {platform.CreateQuery(inMinutes(5), queryJob) + "&source=other", relay.ValidationFailed, "/query/source"},
		"values":            {platform.CreateQuery(inMinutes(5), bad), relay.ValidationFailed, "/query/source /query/rowId"},
		"private":           {platform.CreateQuery(inMinutes(5), private), relay.URLNotAllowed, ""},
		"expired":           {platform.CreateQuery(inMinutes(-1), queryJob), relay.TimestampOutOfWindow, ""},
		"too far ahead":     {platform.CreateQuery(inMinutes(11), queryJob), relay.TimestampOutOfWindow, ""},
		"another value":     {strings.Replace(platform.CreateQuery(inMinutes(5), queryJob), "rowId=7", "rowId=8", 1), relay.SignatureInvalid, ""},
		"a reading one":     {"idempotencyKey=k1&trackingUrl=https%3A%2F%2Fexample.com&source=crm&rowId=7&" + platform.ReadQuery(inMinutes(5)), relay.SignatureInvalid, ""},
		"no end":            {"AccessID=" + platform.KeyID + "&Signature=x", relay.HeaderMissing, ""},
		"signature twice":   {platform.CreateQuery(inMinutes(5), queryJob) + "&signedAuthentication=x", relay.HeaderDuplicated, ""},
		"not a signature":   {"Expires=1700000000&AccessID=" + platform.KeyID + "&Signature=x", relay.HeaderMalformed, ""},
		"broken escape":     {platform.CreateQuery(inMinutes(5), queryJob) + "&x=%zz", relay.ValidationFailed, "/query"},
		"semicolon, unread": {platform.CreateQuery(inMinutes(5), queryJob) + "&a;b", relay.ValidationFailed, "/query"},
	} {
		t.Run(name, func(t *testing.T) {
			e := wantProblem(t, do(h.Public(), plainly("GET", "/api/links/fetch?"+c.query)), c.want)
			var pointers []string
			for _, f := range e.Errors {
				pointers = append(pointers, f.Pointer)
			}
			if strings.Join(pointers, " ") != c.pointers {
				t.Errorf("%q, want %q", pointers, c.pointers)
			}
			if strings.HasPrefix(string(c.want), "header_") && !strings.HasPrefix(e.Pointer, "/query/") || c.want == relay.URLNotAllowed && e.Pointer != "/query/trackingUrl" {
				t.Errorf("pointer %q", e.Pointer)
			}
			if c.want == relay.TimestampOutOfWindow && (e.MaxSkewSeconds != 600 || e.ReceivedTimestamp == "" || e.ServerTime == 0) {
				t.Errorf("%+v", e)
			}
		})
	}
	withBody := signed(platform, "POST", "/api/links/fetch?"+platform.CreateQuery(inMinutes(5), queryJob), goodBody)
	for _, name := range []string{signature.HeaderKey, signature.HeaderNonce, signature.HeaderTimestamp, signature.HeaderSignature} {
		withBody.Header.Del(name)
	}
	wantProblem(t, do(h.Public(), withBody), relay.BodyTooLarge)
}

func TestSignedQueryReads(t *testing.T) {
	store := allRights()
	var by relay.Caller
	store.job = func(c relay.Caller, _ string, _ time.Duration) (relay.Job, error) {
		by = c
		return relay.Job{ID: jobID, State: relay.Queued}, nil
	}
	h := newHandler(t, store, handler.Options{}, nil)
	q := platform.ReadQuery(inMinutes(5))
	for _, target := range []string{"/api/links/jobs/" + jobID + "?" + q, "/api/links/jobs?idempotencyKey=k1&" + q + "&wait=0"} {
		if w := do(h.Public(), plainly("GET", target)); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	if len(by.Nonce) < 16 || by.NonceTTL <= 0 || by.Once != "" {
		t.Errorf("caller %+v", by)
	}
	e := wantProblem(t, do(h.Public(), plainly("DELETE", "/api/links/jobs/"+jobID+"?"+q)), relay.HeaderMalformed)
	if e.Pointer != "/query/AccessID" || !strings.Contains(e.Detail, "reads") {
		t.Errorf("%+v", e)
	}
	wantProblem(t, do(h.Public(), plainly("GET", "/api/links/quota?other=1&"+q)), relay.ValidationFailed)
}

func TestSignedQueryNeedsItsScope(t *testing.T) {
	store := allRights()
	store.credentials[platform.KeyID].Scopes = relay.DefaultScopes
	h := newHandler(t, store, handler.Options{}, nil)
	e := wantProblem(t, do(h.Public(), plainly("GET", "/api/links/fetch?"+platform.CreateQuery(inMinutes(5), queryJob))), relay.ScopeMissing)
	if !strings.Contains(e.Detail, "jobs:create:query") {
		t.Errorf("%q", e.Detail)
	}
	store.credentials[platform.KeyID].Schemes = []relay.Scheme{relay.SchemeLinkPeeler}
	wantProblem(t, do(h.Public(), plainly("GET", "/api/links/quota?"+platform.ReadQuery(inMinutes(5)))), relay.SchemeNotAllowed)
	wantProblem(t, do(h.Public(), asIklim("POST", "/api/links/fetch", keylessBody)), relay.SchemeNotAllowed)
}

// HMAC-SHA1 is for keys that were created to allow it; whoever signed right
// with it holds the secret, and is told.
func TestSHA1IsOptIn(t *testing.T) {
	store := allRights()
	store.job = func(relay.Caller, string, time.Duration) (relay.Job, error) {
		return relay.Job{ID: jobID, State: relay.Queued}, nil
	}
	h := newHandler(t, store, handler.Options{}, nil)
	target := "/api/links/jobs/" + jobID + "?" + sha1Query(platform, inMinutes(5))
	if e := wantProblem(t, do(h.Public(), plainly("GET", target)), relay.SignatureInvalid); !strings.Contains(e.Diagnosis, "HMAC-SHA1") {
		t.Errorf("diagnosis %q", e.Diagnosis)
	}
	stranger := signature.Signer{KeyID: platform.KeyID, Secret: signature.NewSecret()}
	e := wantProblem(t, do(h.Public(), plainly("GET", "/api/links/jobs/"+jobID+"?"+sha1Query(stranger, inMinutes(5)))), relay.SignatureInvalid)
	if e.Diagnosis != "" {
		t.Errorf("told to a stranger: %q", e.Diagnosis)
	}
	store.credentials[platform.KeyID].AllowSHA1 = true
	if w := do(h.Public(), plainly("GET", target)); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestVerifyConsumesNothing(t *testing.T) {
	store := allRights()
	store.admit = nil // a call of it would panic
	known := false
	store.check = func(_ relay.Caller, r *relay.JobRequest) (relay.Admission, error) {
		a := relay.Admission{Replayed: known, Windows: []relay.Window{{Name: "minute", Limit: 10, Remaining: 9}}}
		if known {
			a.Job = relay.Job{ID: jobID, State: relay.Queued, IdempotencyKey: r.IdempotencyKey}
		}
		return a, nil
	}
	h := newHandler(t, store, handler.Options{}, nil)
	verify := func(r *http.Request) map[string]any {
		t.Helper()
		w := do(h.Public(), r)
		var v map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != http.StatusOK || w.Header().Get("RateLimit") == "" {
			t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
		}
		return v
	}
	v := verify(signed(platform, "POST", "/api/links/verify", goodBody))
	if v["ok"] != true || v["scheme"] != "link-peeler" || v["version"] != "v2" || v["key"] != platform.KeyID || v["secretGeneration"] != 1.0 || v["wouldCreate"] != true || v["job"] != nil {
		t.Errorf("%v", v)
	}
	if v := verify(asIklim("POST", "/api/links/verify", keylessBody)); v["scheme"] != "iklim" || v["version"] != nil {
		t.Errorf("%v", v)
	}
	known = true
	if v := verify(plainly("POST", "/api/links/verify?"+platform.CreateQuery(inMinutes(5), queryJob))); v["wouldCreate"] != false || v["job"].(map[string]any)["jobId"] != jobID {
		t.Errorf("%v", v)
	}
	r := httptest.NewRequest(http.MethodPost, "/api/links/verify", strings.NewReader(goodBody))
	r.Header = platform.V1(time.Now(), signature.NewNonce(), []byte(goodBody))
	r.Header.Set("Content-Type", "application/json")
	wantProblem(t, do(h.Public(), r), relay.HeaderMalformed)
}

func TestRotateKey(t *testing.T) {
	store := newStore()
	var grace time.Duration
	var secret string
	store.rotate = func(id, s string, g time.Duration) (relay.Key, error) {
		secret, grace = s, g
		return relay.Key{ID: id, Secrets: []relay.Secret{{Generation: 2}, {Generation: 1}}}, nil
	}
	h := newHandler(t, store, handler.Options{}, nil)
	target := "/api/desktop/keys/" + platform.KeyID + "/rotate"
	for body, want := range map[string]time.Duration{``: relay.DefaultGrace, `{}`: relay.DefaultGrace, `{"graceSeconds":0}`: 0, `{"graceSeconds":2592000}`: relay.MaxGrace} {
		w := do(h.Public(), signed(device, "POST", target, body))
		var made struct {
			relay.Key
			Secret string `json:"secret"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || w.Code != http.StatusOK || made.Secret != secret || !signature.ValidSecret(secret) || len(made.Secrets) != 2 || grace != want {
			t.Errorf("%q: %d %s, grace %v", body, w.Code, w.Body, grace)
		}
	}
	for _, body := range []string{`{"graceSeconds":-1}`, `{"graceSeconds":2592001}`, `{"graceSeconds":9223372036854775807}`} {
		e := wantProblem(t, do(h.Public(), signed(device, "POST", target, body)), relay.ValidationFailed)
		if e.Errors[0].Pointer != "/graceSeconds" {
			t.Errorf("%+v", e.Errors)
		}
	}
	wantProblem(t, do(h.Public(), signed(device, "POST", "/api/desktop/keys/lp_live_x/rotate", `{}`)), relay.NotFound)
}

func TestDocuments(t *testing.T) {
	h := newHandler(t, newStore(), handler.Options{}, nil)
	for target, want := range map[string]string{
		"/openapi.json":               "application/json",
		"/docs":                       "text/html; charset=utf-8",
		"/problems/signature_invalid": "text/html; charset=utf-8",
	} {
		w := do(h.Public(), plainly("GET", target))
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != want || w.Body.Len() == 0 {
			t.Errorf("%s: %d %s", target, w.Code, w.Header().Get("Content-Type"))
		}
		r := plainly("GET", target)
		r.Header.Set("If-None-Match", w.Header().Get("ETag"))
		if again := do(h.Public(), r); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
			t.Errorf("%s again: %d", target, again.Code)
		}
		if html := strings.HasPrefix(want, "text/html"); html != strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: policy %q", target, w.Header().Get("Content-Security-Policy"))
		}
	}
	r := plainly("GET", "/problems/signature_invalid")
	r.Header.Set("Accept", "application/json")
	if w := do(h.Public(), r); w.Header().Get("Content-Type") != "application/json" || !strings.Contains(w.Body.String(), "signature_invalid") {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	for _, target := range []string{"/problems/" + url.PathEscape("<script>"), "/problems/", "/docs/vectors/keys", "/docs/vectors/..%2Fkeys.json"} {
		wantProblem(t, do(h.Public(), plainly("GET", target)), relay.NotFound)
	}
}
