package handler_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"linkrelay/handler"
	"linkrelay/relay"
	"linkrelay/signature"
)

func TestAccounts(t *testing.T) {
	store := newStore()
	var id string
	var got relay.AccountChange
	store.account = func(account string, c relay.AccountChange) (relay.Account, error) {
		id, got = account, c
		return relay.Account{ID: account}, nil
	}
	h := newHandler(t, store, handler.Options{Plans: func(p string) bool { return p == "pro" }}, nil)
	pro, zero, ten := "pro", int64(0), int64(10)
	ends := time.Date(2030, 1, 31, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		method, path, body string
		status             int
		id                 string // "" for one that was made up
		want               relay.AccountChange
	}{
		{"POST", "", "", 201, "", relay.AccountChange{}},
		{"POST", "", `{}`, 201, "", relay.AccountChange{}},
		{"POST", "", `{"accountId":"acme","plan":"pro"}`, 201, "acme", relay.AccountChange{Plan: &pro}},
		{"PATCH", "/acme", `{"limits":{"perMinute":0,"maxKeys":10}}`, 200, "acme", relay.AccountChange{Overrides: relay.LimitOverrides{PerMinute: &zero, MaxKeys: &ten}}},
		{"PATCH", "/acme", `{"membership":{"state":"past_due","endsAt":"2030-01-31T00:00:00Z"}}`, 200, "acme", relay.AccountChange{Membership: &relay.Membership{State: "past_due", EndsAt: &ends}}},
	} {
		w := do(h.Admin(), asOperator(tt.method, "/api/admin/accounts"+tt.path, tt.body))
		account := decode[relay.Account](t, w, tt.status)
		if account.ID != id || tt.id != "" && id != tt.id || !relay.ValidAccountID(id) {
			t.Errorf("%s: id %q", tt.body, id)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.body, diff)
		}
	}
}

func TestAccountFaults(t *testing.T) {
	h := newHandler(t, newStore(), handler.Options{Plans: func(p string) bool { return p == "pro" }}, nil)
	for _, tt := range []struct {
		method, path, body string
		want               []string
	}{
		{"POST", "", `{"accountId":"-a","plan":"gold","membership":{},"limits":{"perDay":-2,"x":1,"maxKeys":"1"}}`,
			[]string{"/limits/x", "/limits/maxKeys", "/accountId", "/plan", "/membership/state", "/limits/perDay"}},
		{"POST", "", `{"plan":7,"membership":{"state":true,"endsAt":"tomorrow"},"limits":[]}`, []string{"/plan", "/membership/state", "/membership/endsAt", "/limits"}},
		{"PATCH", "/acme", `{"accountId":"b"}`, []string{"/accountId"}},
		{"PATCH", "/acme", `{"plan":""}`, []string{"/plan"}},
	} {
		e := wantProblem(t, do(h.Admin(), asOperator(tt.method, "/api/admin/accounts"+tt.path, tt.body)), relay.ValidationFailed)
		var got []string
		for _, f := range e.Errors {
			got = append(got, f.Pointer)
		}
		if !cmp.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.body, got, tt.want)
		}
	}
	wantProblem(t, do(h.Admin(), asOperator("PATCH", "/api/admin/accounts/acme", "")), relay.UnsupportedMediaType)
	wantProblem(t, do(h.Admin(), asOperator("GET", "/api/admin/accounts/a.b", "")), relay.NotFound)
}

// The store gets the code as people's typing is normalised, the operator the
// one that is easy to type.
func TestLinkCodes(t *testing.T) {
	store := newStore()
	var kept string
	var life time.Duration
	store.linkCode = func(_, code string, ttl time.Duration) (relay.LinkCode, error) {
		kept, life = code, ttl
		return relay.LinkCode{ExpiresAt: time.Now().Add(ttl)}, nil
	}
	h := newHandler(t, store, handler.Options{}, nil)
	for body, want := range map[string]time.Duration{"": 15 * time.Minute, `{"ttlSeconds":60}`: time.Minute} {
		c := decode[relay.LinkCode](t, do(h.Admin(), asOperator("POST", "/api/admin/accounts/acme/link-codes", body)), 201)
		if !strings.Contains(c.Code, "-") || signature.NormalizeLinkCode(c.Code) != kept || life != want {
			t.Errorf("shown %q, kept %q for %v", c.Code, kept, life)
		}
	}
	wantProblem(t, do(h.Admin(), asOperator("POST", "/api/admin/accounts/acme/link-codes", `{"ttlSeconds":59}`)), relay.ValidationFailed)
}

func TestDeadLettersNeedTheirState(t *testing.T) {
	h := newHandler(t, newStore(), handler.Options{}, nil)
	for _, query := range []string{"", "?state=queued", "?state=dead&limit=0", "?state=dead&limit=501"} {
		wantProblem(t, do(h.Admin(), asOperator("GET", "/api/admin/accounts/acme/jobs"+query, "")), relay.ValidationFailed)
	}
}
