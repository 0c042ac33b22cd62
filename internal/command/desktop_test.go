package command_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"linkrelay/internal/command"
	"linkrelay/relay"
	"linkrelay/signature"
)

// deskRelay is a relay that knows one link code and one device.
type deskRelay struct {
	*httptest.Server
	key, secret string
	job         relay.Delivery // offered on every stream
	refuse      relay.Code     // answered to everything signed, when set
	reports     chan string    // verb and body of what ends a delivery

	mu    sync.Mutex
	calls []string
}

// twoSecrets are those of a key in the middle of a rotation.
const twoSecrets = `{"generation":2,"createdAt":"2025-01-02T03:04:05Z","uses":0},` +
	`{"generation":1,"createdAt":"2024-01-02T03:04:05Z","validUntil":"2025-01-03T03:04:05Z","lastUsedAt":"2025-01-02T04:00:00Z","uses":9000}`

func newDeskRelay(t *testing.T) *deskRelay {
	r := &deskRelay{key: signature.NewKeyID(signature.KindDevice), secret: signature.NewSecret(), reports: make(chan string, 10)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/desktop/link", r.link)
	mux.HandleFunc("/api/desktop/", func(w http.ResponseWriter, q *http.Request) { r.signed(t, w, q) })
	r.Server = httptest.NewServer(mux)
	t.Cleanup(r.Close)
	return r
}

func (r *deskRelay) link(w http.ResponseWriter, q *http.Request) {
	var in struct{ Code, Name, Platform string }
	_ = json.NewDecoder(q.Body).Decode(&in)
	r.note("link " + in.Code + " " + in.Name)
	if in.Code != "abcd-efgh" {
		problem(w, relay.LinkCodeInvalid)
		return
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprintf(w, `{"accountId":"acc_1","deviceId":"dev_1","key":%q,"secret":%q}`, r.key, r.secret)
}

func (r *deskRelay) signed(t *testing.T, w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	lp, fault := signature.ParseLinkPeeler(q.Header)
	if fault != nil || lp.KeyID != r.key || lp.Verify([]string{r.secret}, q.Method, q.RequestURI, body) != 0 {
		t.Errorf("%s %s is not signed with the device's key", q.Method, q.RequestURI)
	}
	r.note(q.Method + " " + q.RequestURI)
	if r.refuse != "" {
		problem(w, r.refuse)
		return
	}
	switch path := q.URL.Path; {
	case path == "/api/desktop/jobs/stream":
		r.stream(w, q)
	case q.Method == http.MethodPost && path == "/api/desktop/keys":
		r.note(string(body))
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprint(w, `{"key":"lp_test_1","name":"shop","secrets":[{"generation":1,"createdAt":"2025-01-02T03:04:05Z"}],"secret":"lps_shown_once"}`)
	case strings.HasSuffix(path, "/rotate"):
		r.note(string(body))
		_, _ = w.Write([]byte(`{"key":"lp_test_1","name":"shop","secrets":[` + twoSecrets + `],"secret":"lps_shown_once"}`))
	case strings.HasPrefix(path, "/api/desktop/keys"):
		_, _ = w.Write([]byte(`{"revision":2,"keys":[{"key":"lp_test_1","name":"shop\u001b[31m","schemes":["iklim"],"secrets":[` + twoSecrets + `]}]}`))
	case strings.HasPrefix(path, "/api/desktop/jobs/"):
		if verb := path[strings.LastIndex(path, "/")+1:]; verb != "accept" && verb != "extend" {
			r.reports <- verb + " " + string(body)
		}
		_ = json.NewEncoder(w).Encode(relay.Job{ID: r.job.JobID, State: relay.Running})
	}
}

func (r *deskRelay) stream(w http.ResponseWriter, q *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	job, _ := json.Marshal(r.job)
	_, _ = fmt.Fprintf(w, "event: hello\ndata: {}\n\nevent: job\ndata: %s\n\n", job)
	_ = http.NewResponseController(w).Flush()
	<-q.Context().Done()
}

func (r *deskRelay) note(call string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, call)
}

func (r *deskRelay) made() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

func problem(w http.ResponseWriter, code relay.Code) {
	e := relay.NewError(code, "scripted")
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(e.Status)
	_ = json.NewEncoder(w).Encode(e)
}

// linked returns a credentials file for the relay, made by the command.
func (r *deskRelay) linked(t *testing.T) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "new", "desktop.json")
	if stdout, stderr, code := linkrelay(t, "desktop", "link", "--code", "abcd-efgh", "--name", "Ada", "--relay-url", r.URL, "--state", file); code != 0 {
		t.Fatalf("link: exit %d, %s%s", code, stdout, stderr)
	}
	return file
}

func TestDesktopLink(t *testing.T) {
	environment(t, nil)
	r := newDeskRelay(t)
	file := r.linked(t)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("credentials: %v, %v", info, err)
	}
	before, _ := os.ReadFile(file)
	if !strings.Contains(string(before), r.secret) || !strings.Contains(string(before), r.URL) {
		t.Errorf("credentials hold %s", before)
	}

	link := func(args ...string) (string, int) {
		stdout, stderr, code := linkrelay(t, append([]string{"desktop", "link", "--state", file, "--relay-url", r.URL}, args...)...)
		if strings.Contains(stdout+stderr, r.secret) {
			t.Errorf("the secret is shown: %s%s", stdout, stderr)
		}
		return stdout + stderr, code
	}
	if text, code := link("--code", "abcd-efgh"); code != 2 || !strings.Contains(text, "linked already") || len(r.made()) != 1 {
		t.Errorf("second link: exit %d, %s, calls %v", code, text, r.made())
	}
	if text, code := link("--replace", "--code", "wrong"); code != 1 || !strings.Contains(text, "link_code_invalid") {
		t.Errorf("wrong code: exit %d, %s", code, text)
	}
	after, _ := os.ReadFile(file)
	if !bytes.Equal(before, after) {
		t.Error("a failed link changed the credentials")
	}
	if text, code := link("--replace", "--code", "abcd-efgh"); code != 0 || !strings.Contains(text, "dev_1") {
		t.Errorf("link again: exit %d, %s", code, text)
	}
	if left, _ := os.ReadDir(filepath.Dir(file)); len(left) != 1 {
		t.Errorf("files were left behind: %v", left)
	}
}

// A code is not spent on credentials that could not be kept.
func TestDesktopLinkNeedsAPlaceToKeepTheSecret(t *testing.T) {
	environment(t, nil)
	r := newDeskRelay(t)
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := linkrelay(t, "desktop", "link", "--code", "abcd-efgh", "--relay-url", r.URL, "--state", filepath.Join(blocked, "desktop.json"))
	if code != 1 || len(r.made()) != 0 {
		t.Errorf("exit %d, %s; calls %v", code, stderr, r.made())
	}
}

func TestDesktopState(t *testing.T) {
	environment(t, map[string]string{"RELAY_DESKTOP_URL": "http://127.0.0.1:1"})
	dir := t.TempDir()
	for name, c := range map[string]struct {
		text   string
		mode   os.FileMode
		stderr string
	}{
		"missing":  {"", 0, "is not linked"},
		"readable": {"{}", 0o644, "chmod 600"},
		"broken":   {`{"secret":"lps_half`, 0o600, "holds no credentials"},
		"empty":    {`{}`, 0o600, "holds no credentials"},
		"mistyped": {`{"key":"lp_device_x","secret":"lps_half"}`, 0o600, "KeyID is not a key id"},
	} {
		file := filepath.Join(dir, name)
		if c.mode != 0 {
			if err := os.WriteFile(file, []byte(c.text), c.mode); err != nil {
				t.Fatal(err)
			}
		}
		_, stderr, code := linkrelay(t, "desktop", "run", "--state", file)
		if code != 2 || !strings.Contains(stderr, c.stderr) || strings.Contains(stderr, "lps_") {
			t.Errorf("%s: exit %d, %s", name, code, stderr)
		}
	}
}

// The default place is the user's configuration directory, and the relay that
// was linked at is remembered.
func TestDesktopKeys(t *testing.T) {
	home := t.TempDir()
	r := newDeskRelay(t)
	environment(t, map[string]string{"RELAY_DESKTOP_URL": r.URL})
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, ".config"))
	if _, stderr, code := linkrelay(t, "desktop", "link", "--code", "abcd-efgh"); code != 0 {
		t.Fatal(stderr)
	}
	environment(t, nil)

	key := signature.NewKeyID(signature.KindTest)
	for _, c := range []struct {
		args   string
		stdout []string // lines, with runs of spaces made one
		calls  []string
	}{
		{"create --name shop --environment test", []string{"key lp_test_1", "secret lps_shown_once"},
			[]string{"POST /api/desktop/keys", `{"name":"shop","environment":"test"}`}},
		{"create --name moz --schemes iklim,signed-query --scopes jobs:create:query --scopes jobs:read --allow-sha1 --allow-cidr 192.0.2.0/24,2001:db8::/32 --expires 2030-01-01T00:00:00Z", nil,
			[]string{"POST /api/desktop/keys", `{"name":"moz","environment":"live","schemes":["iklim","signed-query"],"allowSha1":true,"scopes":["jobs:create:query","jobs:read"],"allowedCidrs":["192.0.2.0/24","2001:db8::/32"],"expiresAt":"2030-01-01T00:00:00Z"}`}},
		{"rotate " + key, []string{"key lp_test_1", "secret lps_shown_once", "secret 1 valid until 2025-01-03T03:04:05Z"},
			[]string{"POST /api/desktop/keys/" + key + "/rotate", `{"graceSeconds":86400}`}},
		{"rotate " + key + " --grace 0", nil, []string{"POST /api/desktop/keys/" + key + "/rotate", `{"graceSeconds":0}`}},
		{"list", []string{
			"KEY NAME SCHEMES SCOPES SECRET CREATED VALID UNTIL LAST USED USES",
			"lp_test_1 shop\uFFFD[31m iklim - 2 2025-01-02T03:04:05Z - never 0",
			"lp_test_1 shop\uFFFD[31m iklim - 1 2024-01-02T03:04:05Z 2025-01-03T03:04:05Z " + daysSince(2025, 1, 2) + " 9000",
		}, []string{"GET /api/desktop/keys"}},
		{"revoke " + key, nil, []string{"DELETE /api/desktop/keys/" + key}},
	} {
		before := len(r.made())
		stdout, stderr, code := linkrelay(t, append([]string{"desktop", "key"}, strings.Fields(c.args)...)...)
		if made := r.made()[before:]; code != 0 || !slices.Equal(made, c.calls) {
			t.Errorf("%s: exit %d, %s; calls\n%s", c.args, code, stderr, strings.Join(made, "\n"))
		}
		if once := strings.Contains(stdout, "lps_shown_once"); once != strings.Contains(stderr, "shown this once") {
			t.Errorf("%s: a secret is shown: %v, and stderr is %q", c.args, once, stderr)
		}
		var lines []string
		for line := range strings.Lines(stdout) {
			lines = append(lines, squeeze(line))
		}
		for _, line := range c.stdout {
			if !slices.Contains(lines, line) {
				t.Errorf("%s: no line %q in:\n%s", c.args, line, stdout)
			}
		}
	}
	for _, verb := range []string{"create --name shop", "rotate " + key} {
		stdout, stderr, code := linkrelay(t, strings.Fields("desktop key "+verb+" --json")...)
		var made struct {
			Key, Secret string
			Secrets     []relay.Secret
		}
		if code != 0 || stderr != "" || json.Unmarshal([]byte(stdout), &made) != nil || made.Key != "lp_test_1" || made.Secret != "lps_shown_once" || len(made.Secrets) == 0 {
			t.Errorf("%s --json: exit %d, %q, %q", verb, code, stdout, stderr)
		}
	}
	stdout, _, _ := linkrelay(t, "desktop", "key", "list", "--json")
	var inventory relay.KeyInventory
	if err := json.Unmarshal([]byte(stdout), &inventory); err != nil || len(inventory.Keys[0].Secrets) != 2 || inventory.Keys[0].Secrets[1].LastUsedAt == nil {
		t.Errorf("list --json: %v, %s", err, stdout)
	}
}

// daysSince is what LAST USED shows for four in the morning of a day long past.
func daysSince(year int, month time.Month, day int) string {
	return fmt.Sprintf("%dd ago", time.Since(time.Date(year, month, day, 4, 0, 0, 0, time.UTC))/(24*time.Hour))
}

func TestDesktopUsage(t *testing.T) {
	environment(t, nil)
	someKey := signature.NewKeyID(signature.KindLive)
	for args, text := range map[string]string{
		"desktop link": "--code is missing",
		"desktop link --code x --relay-url ftp://h":       "BaseURL must be",
		"desktop run --max-in-flight 0":                   "--max-in-flight must be",
		"desktop key create":                              "--name is missing",
		"desktop key create --name x --environment p":     "--environment must be",
		"desktop key create --name x --expires 2030":      "--expires must be a time",
		"desktop key revoke lp_live_x":                    "KEY must be",
		"desktop key rotate lp_device_x":                  "KEY must be",
		"desktop key rotate " + someKey + " --grace 721h": "--grace must be between 0 and 720h0m0s",
		"desktop key rotate " + someKey + " --grace=-1s":  "--grace must be between",
		"desktop key revoke":                              "takes KEY",
		"desktop runn":                                    `is not a command of "linkrelay desktop"`,
	} {
		_, stderr, code := linkrelay(t, append(strings.Fields(args), "--state", filepath.Join(t.TempDir(), "none"))...)
		if code != 2 || !strings.Contains(stderr, text) {
			t.Errorf("%s: exit %d, %s", args, code, stderr)
		}
	}
}

func TestDesktopUnreachable(t *testing.T) {
	environment(t, nil)
	r := newDeskRelay(t)
	file := r.linked(t)
	r.Close()
	_, stderr, code := linkrelay(t, "desktop", "key", "create", "--name", "x", "--state", file)
	if code != 3 || !strings.HasPrefix(stderr, "linkrelay: the relay does not answer: dial tcp ") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

func TestDesktopRun(t *testing.T) {
	environment(t, nil)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path != "/end" {
			http.Redirect(w, q, "/end?seen=1", http.StatusFound)
		}
	}))
	defer site.Close()
	for name, c := range map[string]struct {
		args   []string
		verb   string
		report string
		exit   int
	}{
		"resolves":                {[]string{"--allow-private"}, "complete", `"finalUrl":"` + site.URL + `/end?seen=1"`, 0},
		"stays out of this house": {nil, "fail", `"retryable":false`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newDeskRelay(t)
			file := r.linked(t)
			r.job = relay.Delivery{JobID: "job_1", Lease: "l", TrackingURL: site.URL + "/private-path", ExpiresAt: time.Now().Add(time.Hour)}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			exit := make(chan int, 1)
			var stdout, stderr bytes.Buffer
			go func() {
				exit <- command.Run(ctx, append([]string{"desktop", "run", "--state", file}, c.args...), &stdout, &stderr)
			}()
			select {
			case got := <-r.reports:
				if !strings.HasPrefix(got, c.verb+" ") || !strings.Contains(got, c.report) {
					t.Errorf("reported %s", got)
				}
			case code := <-exit:
				t.Fatalf("exit %d: %s", code, stderr.String())
			case <-time.After(20 * time.Second):
				t.Fatal("nothing was reported")
			}
			stop()
			if code := <-exit; code != c.exit {
				t.Errorf("exit %d: %s", code, stderr.String())
			}
			if strings.Contains(stderr.String(), "private-path") || strings.Contains(stderr.String(), r.secret) || !strings.Contains(stderr.String(), "job=job_1") {
				t.Errorf("log: %s", stderr.String())
			}
		})
	}
}

func TestDesktopRunEndsWhenTheKeyIsRevoked(t *testing.T) {
	environment(t, nil)
	r := newDeskRelay(t)
	file := r.linked(t)
	r.refuse = relay.KeyRevoked
	_, stderr, code := linkrelay(t, "desktop", "run", "--state", file)
	if code != 1 || !strings.Contains(stderr, "key_revoked") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}
