package command_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"linkrelay/relay"
)

const (
	token   = "an-operators-token-of-tests"
	sealing = "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
)

// seen is a request that reached the admin server.
type seen struct{ method, target, body string }

// adminServer starts an admin API that gives every caller with the token the
// same answer, points the environment at it and returns what it sees.
func adminServer(t *testing.T, status int, answer string) *[]seen {
	t.Helper()
	var requests []seen
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if got := r.Header.Get("Authorization"); got != "Bearer "+token {
			t.Errorf("Authorization = %q", got)
		}
		if len(body) > 0 && r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("Content-Type = %q", r.Header.Get("Content-Type"))
		}
		requests = append(requests, seen{r.Method, r.RequestURI, string(body)})
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	environment(t, map[string]string{"RELAY_ADMIN_TOKEN": token, "RELAY_ADMIN_URL": server.URL + "/"})
	return &requests
}

func TestOperatorCommands(t *testing.T) {
	const job = "job_0123456789ABCDEFabc"
	const account = `{"accountId":"acme","plan":"pro","membership":{"state":"active"},"limits":{"perDay":7},` +
		`"effectiveLimits":{"perMinute":60,"perDay":7},"createdAt":"2026-11-21T20:00:00Z"}`
	tests := map[string]struct {
		args   string
		status int
		answer string
		want   seen
		stdout []string // lines, with runs of spaces made one
		stderr string
	}{
		"create with defaults": {"account create", 201, account,
			seen{"POST", "/api/admin/accounts", `{}`},
			[]string{"account acme", "plan pro", "membership active", "perMinute 60 plan", "perDay 7 override", "perMonth unlimited plan", "created 2026-11-21T20:00:00Z"}, ""},
		"create": {"account create --id acme --plan pro --membership active --ends-at 2030-01-01T00:00:00Z --per-day 7 --max-in-flight 0", 201, account,
			seen{"POST", "/api/admin/accounts", `{"accountId":"acme","plan":"pro","membership":{"state":"active","endsAt":"2030-01-01T00:00:00Z"},"limits":{"perDay":7,"maxInFlight":0}}`}, nil, ""},
		"show":   {"account show acme", 200, account, seen{"GET", "/api/admin/accounts/acme", ""}, []string{"account acme"}, ""},
		"update": {"account update acme --membership past_due", 200, account, seen{"PATCH", "/api/admin/accounts/acme", `{"membership":{"state":"past_due"}}`}, nil, ""},
		"link-code": {"account link-code acme --ttl 2m", 201, `{"code":"ABCD-EFGH-JKMN-PQRS","expiresAt":"2026-11-21T20:00:00Z"}`,
			seen{"POST", "/api/admin/accounts/acme/link-codes", `{"ttlSeconds":120}`}, []string{"code ABCD-EFGH-JKMN-PQRS", "expires 2026-11-21T20:00:00Z"}, ""},
		"queue": {"account queue acme", 200, `{"waiting":3,"running":1,"limit":0,"oldestWaitingSeconds":90,"deadLetters":2}`,
			seen{"GET", "/api/admin/accounts/acme/queue", ""}, []string{"waiting 3", "running 1", "waiting at most unlimited", "oldest waits 1m30s", "dead letters 2"}, ""},
		"events": {"account events acme --limit 2 --cursor a&b", 200, `{"items":[{"id":"1-0","at":"2026-11-21T20:00:00Z","kind":"job.queued","actor":"lp_live_x","about":{"z":"1","a":"2"}}],"next":"1-0"}`,
			seen{"GET", "/api/admin/accounts/acme/events?cursor=a%26b&limit=2", ""}, []string{"AT KIND ACTOR ABOUT", "2026-11-21T20:00:00Z job.queued lp_live_x a=2 z=1"}, "there is more: --cursor 1-0\n"},
		"devices": {"device list acme", 200, `{"devices":[{"deviceId":"dev_1","key":"lp_device_1","name":"\u001b[31mred\nline","platform":"","linkedAt":"2026-11-21T20:00:00Z","inFlight":2}]}`,
			seen{"GET", "/api/admin/accounts/acme/devices", ""}, []string{"DEVICE NAME PLATFORM KEY IN FLIGHT LINKED", "dev_1 \uFFFD[31mred line - lp_device_1 2 2026-11-21T20:00:00Z"}, ""},
		"keys": {"key list acme", 200, `{"revision":4,"keys":[{"key":"lp_live_1","name":"n","schemes":["link-peeler"],"scopes":["jobs:create","jobs:read"],"expiresAt":"2030-01-01T00:00:00Z",` +
			`"secrets":[{"generation":2,"createdAt":"2026-11-21T20:00:00Z","uses":0},{"generation":1,"createdAt":"2026-01-21T20:00:00Z","validUntil":"2026-11-22T20:00:00Z","uses":0}]}]}`,
			seen{"GET", "/api/admin/accounts/acme/keys", ""}, []string{"KEY NAME SCHEMES SCOPES SECRET CREATED VALID UNTIL LAST USED USES",
				"lp_live_1 n link-peeler jobs:create,jobs:read 2 2026-11-21T20:00:00Z 2030-01-01T00:00:00Z never 0",
				"lp_live_1 n link-peeler jobs:create,jobs:read 1 2026-01-21T20:00:00Z 2026-11-22T20:00:00Z never 0"}, ""},
		"dead": {"job dead acme", 200, `{"items":[{"jobId":"` + job + `","attempts":5,"source":"s","rowId":"r","trackingUrl":"https://a.example/","error":"gone","diedAt":"2026-11-21T20:00:00Z"}]}`,
			seen{"GET", "/api/admin/accounts/acme/jobs?limit=50&state=dead", ""}, []string{job + " 2026-11-21T20:00:00Z 5 s r https://a.example/ gone"}, ""},
		"redrive": {"job redrive acme " + job, 200, `{"jobId":"` + job + `","state":"queued","expiresAt":"2026-11-21T20:00:00Z"}`,
			seen{"POST", "/api/admin/accounts/acme/jobs/" + job + "/redrive", ""}, []string{"job " + job, "state queued"}, ""},
		"drop":      {"job drop acme " + job, 204, ``, seen{"DELETE", "/api/admin/accounts/acme/jobs/" + job, ""}, []string{"dropped " + job}, ""},
		"drop JSON": {"job drop acme " + job + " --json", 204, ``, seen{"DELETE", "/api/admin/accounts/acme/jobs/" + job, ""}, []string{"{}"}, ""},
		"JSON as it came": {"account queue acme --json", 200, `{"waiting":3,"new":true}`,
			seen{"GET", "/api/admin/accounts/acme/queue", ""}, []string{"{", ` "waiting": 3,`, ` "new": true`, "}"}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			requests := adminServer(t, tt.status, tt.answer)
			stdout, stderr, code := linkrelay(t, strings.Fields(tt.args)...)
			if code != 0 || stderr != tt.stderr {
				t.Fatalf("exit %d, stderr %q", code, stderr)
			}
			if len(*requests) != 1 || (*requests)[0] != tt.want {
				t.Errorf("sent %q\nwant  %q", *requests, tt.want)
			}
			lines := map[string]bool{}
			for line := range strings.Lines(stdout) {
				lines[squeeze(line)] = true
			}
			for _, line := range tt.stdout {
				if !lines[line] {
					t.Errorf("no line %q in:\n%s", line, stdout)
				}
			}
		})
	}
}

// squeeze makes runs of spaces one and cuts them at the end.
func squeeze(line string) string {
	for strings.Contains(line, "  ") {
		line = strings.ReplaceAll(line, "  ", " ")
	}
	return strings.TrimRight(line, " \n")
}

func TestRefusals(t *testing.T) {
	tests := map[string]struct {
		status int
		answer string
		code   int
		stderr []string
	}{
		"refused": {409, `{"code":"already_exists","title":"It exists already","detail":"account acme exists","requestId":"r-1"}`, 1,
			[]string{"linkrelay: already_exists: account acme exists", "It exists already (HTTP 409, request r-1)", "remedy: Use another id"}},
		"every field": {422, `{"code":"validation_failed","title":"x","errors":[{"pointer":"/plan","reason":"is no plan"},{"pointer":"/limits/perDay","reason":"is negative"}]}`, 1,
			[]string{"  /plan is no plan\n", "  /limits/perDay is negative\n", "remedy: Mend every field"}},
		"token":             {401, `{"code":"unauthorized","title":"x"}`, 1, []string{"unauthorized", "RELAY_ADMIN_TOKEN"}},
		"store is down":     {503, `{"code":"store_unavailable","title":"x"}`, 3, []string{"store_unavailable", "remedy:"}},
		"a code we lack":    {418, `{"code":"teapot","title":"x\u001b[0m"}`, 1, []string{"linkrelay: teapot", "x\uFFFD[0m (HTTP 418)"}},
		"not a relay":       {404, `<html>not here</html>`, 1, []string{"HTTP 404 without a problem document", "--admin-url"}},
		"a proxy in front":  {502, `<html>bad gateway</html>`, 3, []string{"HTTP 502"}},
		"another version":   {200, `[]`, 1, []string{"of another version"}},
		"redirect":          {302, ``, 1, []string{"HTTP 302 without a problem document"}},
		"more than we read": {200, strings.Repeat(" ", 9<<20), 1, []string{"larger than", "--limit"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			adminServer(t, tt.status, tt.answer)
			stdout, stderr, code := linkrelay(t, "account", "show", "acme")
			if code != tt.code || stdout != "" {
				t.Errorf("exit %d, stdout %q; want exit %d and no output", code, stdout, tt.code)
			}
			for _, part := range tt.stderr {
				if !strings.Contains(stderr, part) {
					t.Errorf("stderr %q lacks %q", stderr, part)
				}
			}
			if strings.Contains(stderr, token) {
				t.Errorf("stderr shows the token: %q", stderr)
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close() // its port is free now
	environment(t, map[string]string{"RELAY_ADMIN_TOKEN": token})
	_, stderr, code := linkrelay(t, "account", "show", "acme", "--admin-url", server.URL)
	if code != 3 || !strings.Contains(stderr, "does not answer at "+strings.TrimPrefix(server.URL, "http://")) {
		t.Errorf("exit %d, stderr %q; want 3 and the address", code, stderr)
	}
}

func TestTheTokenFollowsNoRedirect(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirect was followed")
	}))
	t.Cleanup(elsewhere.Close)
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	t.Cleanup(server.Close)
	environment(t, map[string]string{"RELAY_ADMIN_TOKEN": token})
	if _, stderr, code := linkrelay(t, "account", "show", "acme", "--admin-url", server.URL); code != 1 {
		t.Errorf("exit %d, stderr %q", code, stderr)
	}
}

func TestSettingsStopACommand(t *testing.T) {
	requests := adminServer(t, 200, `{}`)
	t.Setenv("RELAY_ADMIN_TOKN", token)
	if _, stderr, code := linkrelay(t, "account", "show", "acme"); code != 2 || !strings.Contains(stderr, "did you mean RELAY_ADMIN_TOKEN?") {
		t.Errorf("exit %d, stderr %q; want the mistyped setting", code, stderr)
	}
	environment(t, nil)
	if _, stderr, code := linkrelay(t, "account", "show", "acme"); code != 2 || !strings.Contains(stderr, "RELAY_ADMIN_TOKEN is not set") {
		t.Errorf("exit %d, stderr %q; want the missing token", code, stderr)
	}
	if len(*requests) != 0 {
		t.Errorf("%d requests were sent all the same", len(*requests))
	}
}

func TestEveryCatalogueEntryHasARemedy(t *testing.T) {
	for _, e := range relay.Catalogue {
		if e.Remedy == "" {
			t.Errorf("%s has none: a refusal would not say what to do", e.Code)
		}
	}
}
