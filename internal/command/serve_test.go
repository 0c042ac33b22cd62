package command_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"linkrelay/internal/command"
	"linkrelay/internal/redistest"
)

// logBook is a log that says when the replica serves.
type logBook struct {
	mu      sync.Mutex
	text    bytes.Buffer
	serving chan [2]string // the public and the admin address
}

// Write takes whole lines, as zap writes them.
func (b *logBook) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var l struct{ Msg, Public, Admin string }
	if json.Unmarshal(line, &l) == nil && l.Msg == "serving" {
		b.serving <- [2]string{"http://" + l.Public, "http://" + l.Admin}
	}
	return b.text.Write(line)
}

// serve runs the serve command in the environment that the test has set, until
// its listeners are open. stop ends it and returns its log and exit code.
func serve(t *testing.T) (public, admin string, stop func() (log string, code int)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	log := &logBook{serving: make(chan [2]string, 1)}
	ended := make(chan int, 1)
	go func() { ended <- command.Run(ctx, []string{"serve"}, io.Discard, log) }()
	stop = func() (string, int) {
		cancel()
		code := <-ended
		return log.text.String(), code
	}
	select {
	case at := <-log.serving:
		return at[0], at[1], stop
	case code := <-ended:
		cancel()
		t.Fatalf("serve ended with %d:\n%s", code, log.text.String())
		return "", "", nil
	}
}

// The operator's commands against a real replica, embedded and on Redis.
func TestServe(t *testing.T) {
	stores := map[string]func(t *testing.T) map[string]string{
		"embedded": func(*testing.T) map[string]string { return map[string]string{"RELAY_EMBEDDED": "true"} },
		"redis": func(t *testing.T) map[string]string {
			return map[string]string{"RELAY_REDIS_URL": redistest.Start(t).URL(), "RELAY_SECRET_KEYS": sealing}
		},
	}
	for name, store := range stores {
		t.Run(name, func(t *testing.T) {
			settings := store(t)
			settings["RELAY_LISTEN"], settings["RELAY_ADMIN_LISTEN"] = "127.0.0.1:0", "127.0.0.1:0"
			settings["RELAY_ADMIN_TOKEN"], settings["RELAY_DRAIN"] = token, "1s"
			environment(t, settings)
			public, admin, stop := serve(t)
			for _, base := range []string{public, admin} {
				if body, err := get(t, base+"/readyz"); err != nil || !strings.Contains(body, "ok") {
					t.Errorf("%s/readyz: %q, %v", base, body, err)
				}
			}
			operate(t, admin)
			log, code := stop()
			if code != 0 {
				t.Errorf("exit %d, log:\n%s", code, log)
			}
			if strings.Contains(log, token) || strings.Contains(log, sealing) {
				t.Errorf("the log shows a secret:\n%s", log)
			}
			if embedded := name == "embedded"; strings.Contains(log, "EMBEDDED STORE") != embedded {
				t.Errorf("the embedded store is announced exactly when it is used; log:\n%s", log)
			}
		})
	}
}

// operate runs the operator commands and expects each to be understood.
func operate(t *testing.T, admin string) {
	t.Helper()
	steps := []struct {
		args string
		code int
		want string // in stdout, or stderr when code is not 0
	}{
		{"account create --id acme --plan pro --per-day 7", 0, "perDay       7       override"},
		{"account create --id acme", 1, "already_exists"},
		{"account create --plan bogus", 1, "/plan is not the name of a plan"},
		{"account show acme", 0, "membership   active"},
		{"account show nobody", 1, "not_found"},
		{"account update acme --membership past_due", 0, "past_due"},
		{"account link-code acme --ttl 2m", 0, "code     "},
		{"account queue acme", 0, "waiting at most  10000"},
		{"account events acme --limit 1", 0, "KIND"},
		{"device list acme", 0, "IN FLIGHT"},
		{"key list acme", 0, "SCOPES"},
		{"key list acme --json", 0, `"keys": []`},
		{"job dead acme", 0, "ATTEMPTS"},
		{"job redrive acme job_0123456789ABCDEFabc", 1, "not_found"},
		{"job drop acme job_0123456789ABCDEFabc", 1, "not_found"},
	}
	for _, step := range steps {
		stdout, stderr, code := linkrelay(t, append(strings.Fields(step.args), "--admin-url", admin)...)
		said := stdout
		if step.code != 0 {
			said = stderr
		}
		if code != step.code || !strings.Contains(said, step.want) {
			t.Errorf("linkrelay %s: exit %d, stdout:\n%s\nstderr:\n%s\nwant exit %d and %q", step.args, code, stdout, stderr, step.code, step.want)
		}
	}
}

func TestServeDoesNotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := nobody.Close(); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		set    map[string]string
		code   int
		stderr string
	}{
		"no store":          {nil, 2, "RELAY_REDIS_URL is not set\n    remedy: set RELAY_REDIS_URL, such as redis://127.0.0.1:6379/0; or, to try it out without Redis and without keeping anything, set RELAY_EMBEDDED=true"},
		"no Redis there":    {map[string]string{"RELAY_REDIS_URL": fmt.Sprintf("redis://:%s@%s", token, nobody.Addr()), "RELAY_SECRET_KEYS": sealing}, 3, "RELAY_REDIS_URL"},
		"port is taken":     {map[string]string{"RELAY_EMBEDDED": "true", "RELAY_LISTEN": taken.Addr().String()}, 1, "RELAY_LISTEN: cannot listen"},
		"admin port taken":  {map[string]string{"RELAY_EMBEDDED": "true", "RELAY_LISTEN": "127.0.0.1:0", "RELAY_ADMIN_LISTEN": taken.Addr().String()}, 1, "RELAY_ADMIN_LISTEN: cannot listen"},
		"no such plans":     {map[string]string{"RELAY_EMBEDDED": "true", "RELAY_PLANS_FILE": t.TempDir() + "/none.json"}, 1, "RELAY_PLANS_FILE"},
		"mistyped variable": {map[string]string{"RELAY_EMBEDDDED": "true"}, 2, "did you mean RELAY_EMBEDDED?"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			environment(t, tt.set)
			_, stderr, code := linkrelay(t, "serve")
			if code != tt.code || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("exit %d, stderr:\n%s\nwant exit %d and %q", code, stderr, tt.code, tt.stderr)
			}
			if strings.Contains(stderr, token) {
				t.Errorf("stderr shows the password:\n%s", stderr)
			}
		})
	}
}

// The probes answer on the public listener; the operators' calls do not.
func TestAdminIsNotPublic(t *testing.T) {
	environment(t, map[string]string{"RELAY_EMBEDDED": "true", "RELAY_LISTEN": "127.0.0.1:0", "RELAY_ADMIN_LISTEN": "127.0.0.1:0", "RELAY_ADMIN_TOKEN": token})
	public, _, stop := serve(t)
	if _, stderr, code := linkrelay(t, "account", "show", "acme", "--admin-url", public); code != 1 || !strings.Contains(stderr, fmt.Sprint("HTTP ", http.StatusNotFound)) {
		t.Errorf("the public listener answered an operator: exit %d, %s", code, stderr)
	}
	if log, code := stop(); code != 0 {
		t.Errorf("exit %d, log:\n%s", code, log)
	}
}
