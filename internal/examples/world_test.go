package examples_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"linkrelay/client"
	"linkrelay/internal/redistest"
	"linkrelay/relay"
)

// patience bounds every wait for something that must happen. It is long because
// machines are shared, and an interpreter may take its time to start.
const patience = 90 * time.Second

const adminToken = "an-operators-token-of-tests"

// world is a Redis and a relay on it, as the serve command starts it.
type world struct {
	redis         *redistest.Server
	public, admin string // base URLs
	process       *os.Process
}

func newWorld(t *testing.T, settings ...string) *world {
	t.Helper()
	return newRelay(t, redistest.Start(t), settings...)
}

// newRelay starts another relay on a Redis.
func newRelay(t *testing.T, redis *redistest.Server, settings ...string) *world {
	t.Helper()
	w := &world{redis: redis}
	relay := exec.Command(os.Args[0], "serve")
	relay.Env = append([]string{
		programVariable + "=1", "RELAY_REDIS_URL=" + w.redis.URL(), "RELAY_ADMIN_TOKEN=" + adminToken,
		"RELAY_SECRET_KEYS=k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
		"RELAY_LISTEN=127.0.0.1:0", "RELAY_ADMIN_LISTEN=127.0.0.1:0", "RELAY_ALLOW_PRIVATE_TARGETS=true", "RELAY_DRAIN=1s",
	}, settings...)
	log, err := relay.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := relay.Start(); err != nil {
		t.Fatal(err)
	}
	w.process = relay.Process
	serving := make(chan [2]string, 1)
	read := make(chan struct{})
	var text bytes.Buffer
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			text.WriteString(lines.Text() + "\n")
			var l struct{ Msg, Public, Admin string }
			if json.Unmarshal(lines.Bytes(), &l) == nil && l.Msg == "serving" {
				serving <- [2]string{"http://" + l.Public, "http://" + l.Admin}
			}
		}
		close(serving)
	}()
	t.Cleanup(func() {
		w.redis.Resume() // or the relay would not end soon
		_ = relay.Process.Signal(syscall.SIGTERM)
		<-read
		if err := relay.Wait(); err != nil || t.Failed() {
			t.Errorf("the relay ended with %v; its log:\n%s", err, &text)
		}
	})
	addresses := receive(t, serving, "relay that serves")
	w.public, w.admin = addresses[0], addresses[1]
	return w
}

// receive returns what comes next, or fails the test: what names it.
func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v, open := <-from:
		if !open {
			t.Fatalf("there will be no %s", what)
		}
		return v
	case <-time.After(patience):
		t.Fatalf("there was no %s", what)
	}
	panic("unreachable")
}

// operator calls the admin API and decodes its answer.
func operator[T any](t *testing.T, w *world, path, body string) (answer T) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.admin+"/api/admin/accounts"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode != http.StatusCreated {
		t.Fatalf("POST %s: %d, %v", path, response.StatusCode, err)
	}
	return answer
}

// credentials are what an example signs with.
type credentials struct{ id, secret string }

// device is a linked desktop.
type device struct {
	w *world
	credentials
}

// link makes an account with the members of the body and links a device.
func (w *world) link(t *testing.T, members string) device {
	t.Helper()
	account := operator[relay.Account](t, w, "", "{"+members+"}").ID
	code := operator[relay.LinkCode](t, w, "/"+account+"/link-codes", "").Code
	made, err := client.Link(t.Context(), w.public, code, "desktop", "linux")
	if err != nil {
		t.Fatal(err)
	}
	return device{w, credentials{made.KeyID, made.Secret}}
}

// key creates an API key that may be used with every scheme.
func (d device) key(t *testing.T) credentials {
	t.Helper()
	desktop, err := client.NewDesktop(client.Options{BaseURL: d.w.public, KeyID: d.id, Secret: d.secret})
	if err != nil {
		t.Fatal(err)
	}
	made, err := desktop.CreateKey(t.Context(), client.KeySpec{
		Name: "examples", AllowSHA1: true,
		Schemes: []relay.Scheme{relay.SchemeLinkPeeler, relay.SchemeIklim, relay.SchemeSignedQuery},
		Scopes:  []relay.Scope{relay.ScopeJobsCreate, relay.ScopeJobsRead, relay.ScopeJobsCancel, relay.ScopeJobsCreateQuery},
	})
	if err != nil {
		t.Fatal(err)
	}
	return credentials{made.ID, made.Secret}
}

// example is one language's command, set up for a key, a scheme and a relay.
type example struct {
	language, scheme, url string
	credentials
}

// environ is what the process gets. Proxies of the machine are not for loopback.
func (e example) environ() []string {
	return append(os.Environ(), "LINKRELAY_URL="+e.url, "LINKRELAY_KEY="+e.id, "LINKRELAY_SECRET="+e.secret,
		"LINKRELAY_SCHEME="+e.scheme, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1", "PYTHONDONTWRITEBYTECODE=1")
}

// outcome is what a command printed, and its exit code.
type outcome struct {
	stdout, stderr string
	code           int
}

func (e example) run(t *testing.T, args ...string) outcome {
	t.Helper()
	argv := append(append([]string{}, languages[e.language]...), args...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Dir, c.Env = root, e.environ()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); c.ProcessState == nil {
		t.Fatalf("%s: %v", argv, err)
	}
	for _, text := range []string{stdout.String(), stderr.String()} {
		if e.secret != "" && strings.Contains(text, e.secret) {
			t.Errorf("%s prints the secret", argv)
		}
	}
	return outcome{stdout.String(), stderr.String(), c.ProcessState.ExitCode()}
}

// reply is what the tests read of the relay's answers.
type reply struct {
	JobID, IdempotencyKey, Source, RowID, Scheme, Version string
	State                                                 relay.State
	Result                                                struct {
		FinalURL string
		Status   int
	}
	OK, WouldCreate *bool
	Membership      struct{ State string }
	Attempts        int
	Error           string
}

// succeeds runs a command that must, and returns the answer it printed.
func (e example) succeeds(t *testing.T, args ...string) (r reply) {
	t.Helper()
	out := e.run(t, args...)
	if out.code != 0 || out.stderr != "" {
		t.Fatalf("%s %s %q: exit %d\n%s%s", e.language, e.scheme, args, out.code, out.stdout, out.stderr)
	}
	if err := json.Unmarshal([]byte(out.stdout), &r); err != nil {
		t.Fatalf("%s %s %q printed %v:\n%s", e.language, e.scheme, args, err, out.stdout)
	}
	return r
}

// fails runs a command that the relay must refuse: with a status and code, and
// a line about each of the texts. It returns the problem that was shown.
func (e example) fails(t *testing.T, want string, lines []string, args ...string) (problem relay.Error) {
	t.Helper()
	out := e.run(t, args...)
	shown := strings.Split(strings.TrimSuffix(out.stderr, "\n"), "\n")
	if out.code != 1 || out.stdout != "" || len(shown) != 2+len(lines) || !strings.HasPrefix(shown[0], want+": ") {
		t.Fatalf("%s %s %q: exit %d, want %s\n%s%s", e.language, e.scheme, args, out.code, want, out.stdout, out.stderr)
	}
	for i, line := range lines {
		if !strings.Contains(shown[1+i], line) {
			t.Errorf("%s %s %q says %q, want %q", e.language, e.scheme, args, shown[1+i], line)
		}
	}
	if err := json.Unmarshal([]byte(shown[len(shown)-1]), &problem); err != nil {
		t.Fatal(err)
	}
	if first := fmt.Sprintf("%d %s: %s", problem.Status, problem.Code, problem.Detail); shown[0] != first || problem.Detail == "" {
		t.Errorf("%s %s %q says %q first, want %q", e.language, e.scheme, args, shown[0], first)
	}
	return problem
}

// each runs a test for every language.
func each(t *testing.T, test func(t *testing.T, language string)) {
	t.Helper()
	for language := range languages {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			test(t, language)
		})
	}
}

// all runs a test for every language under every scheme.
func all(t *testing.T, test func(t *testing.T, language, scheme string)) {
	t.Helper()
	each(t, func(t *testing.T, language string) {
		for _, scheme := range schemes {
			t.Run(scheme, func(t *testing.T) {
				t.Parallel()
				test(t, language, scheme)
			})
		}
	})
}

// submits makes a job, with the SDK.
func (d device) submits(t *testing.T, key credentials, name string) error {
	p, err := client.NewPlatform(client.Options{BaseURL: d.w.public, KeyID: key.id, Secret: key.secret})
	if err != nil {
		return err
	}
	_, err = p.Submit(t.Context(), relay.JobRequest{IdempotencyKey: name, TrackingURL: somewhere, Source: "crm", RowID: "7"})
	return err
}
