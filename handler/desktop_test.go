package handler_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"linkrelay/handler"
	"linkrelay/relay"
	"linkrelay/signature"
)

func TestLink(t *testing.T) {
	store := newStore()
	var gotCode string
	var made relay.DeviceSpec
	store.link = func(code string, d relay.DeviceSpec) (string, error) {
		gotCode, made = code, d
		return "acme", nil
	}
	h := newHandler(t, store, handler.Options{}, nil)
	code := signature.NewLinkCode()
	typed := strings.ToLower(strings.ReplaceAll(code, "-", " "))
	w := do(h.Public(), asOperator("POST", "/api/desktop/link", `{"code":"`+typed+`","name":"Büro","platform":"darwin"}`))
	got := decode[struct{ AccountID, DeviceID, Key, Secret string }](t, w, http.StatusCreated)
	if gotCode != signature.NormalizeLinkCode(code) {
		t.Errorf("code %q", gotCode)
	}
	if got.AccountID != "acme" || got.DeviceID != made.ID || got.Key != made.KeyID || got.Secret != made.Secret || made.Name != "Büro" {
		t.Errorf("answer and store differ")
	}
	if kind, ok := signature.ParseKeyID(got.Key); !ok || kind != signature.KindDevice || !signature.ValidSecret(got.Secret) {
		t.Errorf("key %q is not a device's", got.Key)
	}
	e := wantProblem(t, do(h.Public(), asOperator("POST", "/api/desktop/link", `{"code":"","platform":"a\nb"}`)), relay.ValidationFailed)
	if len(e.Errors) != 3 {
		t.Errorf("%+v", e.Errors)
	}
}

func TestActions(t *testing.T) {
	delay := 10 * time.Second
	for _, tt := range []struct {
		verb, body string
		want       relay.Action // with JobID set below
	}{
		{"accept", `{"lease":"l"}`, relay.Action{}},
		{"extend", `{"lease":"l"}`, relay.Action{}},
		{"release", `{"lease":"l"}`, relay.Action{}},
		{"complete", `{"lease":"l","result":{ "a" : [1] }}`, relay.Action{Result: []byte(`{"a":[1]}`)}},
		{"complete", `{"lease":"l","result":null}`, relay.Action{Result: []byte(`null`)}},
		{"fail", `{"lease":"l","error":"no route","retryable":false}`, relay.Action{Error: "no route"}},
		{"fail", `{"lease":"l","error":"TypeError: x\n\tat y","retryable":true}`, relay.Action{Error: "TypeError: x  at y", Retryable: true}},
		{"fail", `{"lease":"l","error":"` + strings.Repeat("é", relay.MaxFailureText+1) + `"}`, relay.Action{Error: strings.Repeat("é", relay.MaxFailureText), Retryable: true}},
		{"fail", `{"lease":"l","error":"no route","delaySeconds":10}`, relay.Action{Error: "no route", Retryable: true, Delay: &delay}},
	} {
		store := newStore()
		var got relay.Action
		store.act = func(by relay.Caller, a relay.Action) (relay.Job, error) {
			if by.DeviceID != "dev_1" {
				t.Errorf("caller %+v", by)
			}
			got = a
			return relay.Job{ID: jobID, State: relay.Running}, nil
		}
		w := do(newHandler(t, store, handler.Options{}, nil).Public(), signed(device, "POST", "/api/desktop/jobs/"+jobID+"/"+tt.verb, tt.body))
		decode[relay.Job](t, w, 200)
		tt.want.Verb, tt.want.JobID, tt.want.Lease = relay.Verb(tt.verb), jobID, "l"
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s %s: %s", tt.verb, tt.body, diff)
		}
	}
}

func TestActionFaults(t *testing.T) {
	h := newHandler(t, newStore(), handler.Options{}, nil)
	for _, tt := range []struct {
		verb, body string
		want       []string
	}{
		{"accept", `{}`, []string{"/lease"}},
		{"accept", `{"lease":1,"result":2}`, []string{"/lease", "/result"}},
		{"complete", `{"lease":"l"}`, []string{"/result"}},
		{"complete", `{"lease":"l","result":"` + strings.Repeat("x", relay.MaxResult) + `"}`, []string{"/result"}},
		{"fail", `{"retryable":"no","delaySeconds":-1}`, []string{"/retryable", "/lease", "/error", "/delaySeconds"}},
		{"fail", `{"lease":"l","error":"e","delaySeconds":86401}`, []string{"/delaySeconds"}},
	} {
		e := wantProblem(t, do(h.Public(), signed(device, "POST", "/api/desktop/jobs/"+jobID+"/"+tt.verb, tt.body)), relay.ValidationFailed)
		var got []string
		for _, f := range e.Errors {
			got = append(got, f.Pointer)
		}
		if !cmp.Equal(got, tt.want) {
			t.Errorf("%s %.40s: %q, want %q", tt.verb, tt.body, got, tt.want)
		}
	}
}

func TestCreateKey(t *testing.T) {
	store := newStore()
	var got relay.KeySpec
	store.createKey = func(k relay.KeySpec) (relay.Key, error) {
		got = k
		return relay.Key{ID: k.ID, Name: k.Name, Environment: k.Environment, Schemes: k.Schemes, Scopes: k.Scopes}, nil
	}
	h := newHandler(t, store, handler.Options{}, nil)
	create := func(body string) struct{ Key, Secret, Name string } {
		t.Helper()
		return decode[struct{ Key, Secret, Name string }](t, do(h.Public(), signed(device, "POST", "/api/desktop/keys", body)), 201)
	}
	answer := create(`{"name":"crm"}`)
	if answer.Key != got.ID || answer.Secret != got.Secret || answer.Name != "crm" || !strings.HasPrefix(got.ID, "lp_live_") {
		t.Errorf("answer %+v", answer)
	}
	later := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	want := []relay.KeySpec{
		{Name: "crm", Environment: relay.Live, Schemes: []relay.Scheme{relay.SchemeLinkPeeler}, Scopes: relay.DefaultScopes},
		{Name: "t", Environment: relay.Test, Schemes: []relay.Scheme{relay.SchemeLinkPeeler}, Scopes: []relay.Scope{relay.ScopeJobsRead}, ExpiresAt: &later,
			CIDRs: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("203.0.113.7/32")}},
	}
	ignore := cmpopts.IgnoreFields(relay.KeySpec{}, "ID", "Secret")
	same := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if diff := cmp.Diff(want[0], got, ignore, same); diff != "" {
		t.Error(diff)
	}
	create(`{"name":"t","environment":"test","schemes":["link-peeler"],"scopes":["jobs:read"],"allowedCidrs":["192.0.2.9/24","203.0.113.7"],"expiresAt":"2100-01-01T01:00:00+01:00"}`)
	if diff := cmp.Diff(want[1], got, ignore, same); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(got.ID, "lp_test_") {
		t.Errorf("key id %q", got.ID)
	}
}

func TestCreateKeyFaults(t *testing.T) {
	h := newHandler(t, newStore(), handler.Options{}, nil)
	body := `{"environment":"prod","schemes":["hmac","link-peeler","link-peeler"],"allowSha1":true,"scopes":[],"allowedCidrs":["10.0.0.0/33",7,"fe80::1%eth0"],"expiresAt":"2001-01-01T00:00:00Z"}`
	e := wantProblem(t, do(h.Public(), signed(device, "POST", "/api/desktop/keys", body)), relay.ValidationFailed)
	var got []string
	for _, f := range e.Errors {
		got = append(got, f.Pointer)
		if strings.Contains(f.Reason, "10.0.0.0/33") {
			t.Errorf("echoes the input: %s", f.Reason)
		}
		if f.Pointer == "/schemes/0" && !strings.Contains(f.Reason, "iklim") {
			t.Errorf("reason %q", f.Reason)
		}
	}
	want := []string{"/allowedCidrs/1", "/name", "/environment", "/schemes/0", "/schemes/2", "/scopes", "/allowSha1", "/allowedCidrs/0", "/allowedCidrs/2", "/expiresAt"}
	if !cmp.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
