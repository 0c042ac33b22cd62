package handler_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"linkrelay/handler"
	"linkrelay/relay"
	"linkrelay/signature"
)

func newLogger() *zap.Logger { return zap.NewNop() }

// everything renders all that was logged, as JSON would show it.
func everything(logs *observer.ObservedLogs) string {
	var b strings.Builder
	for _, e := range logs.All() {
		fmt.Fprintf(&b, "%s %s %v\n", e.Level, e.Message, e.ContextMap())
	}
	return b.String()
}

func TestAccessLog(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	h := newHandler(t, newStore(), handler.Options{}, zap.New(core))
	r := fetch(goodBody)
	w := do(h.Public(), r)
	lines := logs.FilterMessage("request").TakeAll()
	if len(lines) != 1 {
		t.Fatalf("%d lines", len(lines))
	}
	got := lines[0].ContextMap()
	for name, want := range map[string]any{
		"request": w.Header().Get("X-Request-Id"), "method": "POST", "route": "/api/links/fetch", "status": int64(202),
		"account": "acme", "key": platform.KeyID[:12], "job": jobID, "ip": "192.0.2.1", "bytes": int64(w.Body.Len()),
	} {
		if got[name] != want {
			t.Errorf("%s: %v, want %v", name, got[name], want)
		}
	}
	if lines[0].Level != zapcore.InfoLevel {
		t.Errorf("level %s", lines[0].Level)
	}
}

// Nothing secret reaches the log, whichever way a request ends; nor do the raw
// path and query.
func TestLogHoldsNoSecrets(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	store := newStore()
	store.createKey = func(k relay.KeySpec) (relay.Key, error) { return relay.Key{ID: k.ID}, nil }
	h := newHandler(t, store, handler.Options{}, zap.New(core))
	secrets := []string{platform.Secret, device.Secret, adminToken, "canary"}
	send := func(to http.Handler, r *http.Request) {
		if v := r.Header.Get(signature.HeaderSignature); v != "" {
			secrets = append(secrets, strings.TrimPrefix(v, "v2="))
		}
		do(to, r)
	}
	send(h.Public(), fetch(goodBody))
	send(h.Public(), fetch(`{"canary":1}`))
	send(h.Public(), signed(platform, "GET", "/api/links/jobs/canary?canary=1", ""))
	send(h.Public(), httptest.NewRequest(http.MethodGet, "/canary", nil))
	send(h.Admin(), asOperator("GET", "/api/admin/accounts/!canary", ""))
	bad := fetch(goodBody)
	bad.Header.Set(signature.HeaderKey, platform.Secret) // the wrong text in the wrong place
	send(h.Public(), bad)
	w := do(h.Public(), signed(device, "POST", "/api/desktop/keys", `{"name":"n"}`))
	made := decode[struct{ Secret string }](t, w, 201)
	secrets = append(secrets, made.Secret)
	text := everything(logs)
	for _, s := range secrets {
		if strings.Contains(text, s) {
			t.Errorf("%q is in the log:\n%s", s, text)
		}
	}
	if prefix := platform.Secret[:12]; strings.Contains(text, prefix) {
		t.Errorf("the beginning of a secret is in the log:\n%s", text)
	}
}

// A panic is answered with fixed text; its value, which may hold anything, and
// the request's headers are not logged.
func TestPanic(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	store := newStore()
	store.admit = func(relay.Caller, *relay.JobRequest) (relay.Admission, error) { panic("the value: " + platform.Secret) }
	h := newHandler(t, store, handler.Options{}, zap.New(core))
	r := fetch(goodBody)
	w := do(h.Public(), r)
	e := wantProblem(t, w, relay.InternalError)
	if strings.Contains(e.Detail, "value") {
		t.Errorf("detail %q", e.Detail)
	}
	text := everything(logs)
	for _, leak := range []string{"the value", platform.Secret, r.Header.Get(signature.HeaderSignature), r.Header.Get(signature.HeaderNonce)} {
		if strings.Contains(text, leak) {
			t.Errorf("%q is in the log:\n%s", leak, text)
		}
	}
	panics := logs.FilterMessage("panic").All()
	if len(panics) != 1 || panics[0].ContextMap()["request"] != e.RequestID || !strings.Contains(panics[0].ContextMap()["stack"].(string), "TestPanic") {
		t.Errorf("panic lines %v", panics)
	}
}

// An error that is not the catalogue's is shown as internal_error; its text is
// for the log only.
func TestUnknownErrorsAreHidden(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	store := newStore()
	store.admit = func(relay.Caller, *relay.JobRequest) (relay.Admission, error) {
		return relay.Admission{}, errors.New("redis at 10.1.2.3 said no")
	}
	w := do(newHandler(t, store, handler.Options{}, zap.New(core)).Public(), fetch(goodBody))
	wantProblem(t, w, relay.InternalError)
	if strings.Contains(w.Body.String(), "10.1.2.3") {
		t.Errorf("shown: %s", w.Body)
	}
	line := logs.FilterMessage("request").All()[0]
	if line.Level != zapcore.ErrorLevel || line.ContextMap()["cause"] != "redis at 10.1.2.3 said no" {
		t.Errorf("logged %s %v", line.Level, line.ContextMap())
	}
}
