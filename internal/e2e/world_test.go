package e2e_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"linkrelay/internal/command"
	"linkrelay/internal/redistest"
)

const (
	adminToken = "an-operators-token-of-tests"
	sealingKey = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
)

// world is what one test runs in: a Redis of its own and replicas on it.
type world struct {
	t        *testing.T
	redis    *redistest.Server
	settings []string // RELAY_…=…
	replicas []*replica
	next     atomic.Uint64
	damaged  bool // by the test itself: internal errors are to be expected
}

// newWorld starts replicas on a fresh Redis without persistence. Settings are
// RELAY_…=… and go before the usual ones of the tests.
func newWorld(t *testing.T, replicas int, settings ...string) *world {
	t.Helper()
	return worldOn(t, redistest.Start(t), replicas, settings...)
}

func worldOn(t *testing.T, redis *redistest.Server, replicas int, settings ...string) *world {
	t.Helper()
	shown.secret("operator token", adminToken)
	shown.secret("sealing key", sealingKey)
	w := &world{t: t, redis: redis, settings: append([]string{
		"RELAY_REDIS_URL=" + redis.URL(), "RELAY_SECRET_KEYS=k1:" + sealingKey, "RELAY_ADMIN_TOKEN=" + adminToken,
		"RELAY_LISTEN=127.0.0.1:0", "RELAY_ADMIN_LISTEN=127.0.0.1:0",
		"RELAY_ALLOW_PRIVATE_TARGETS=true", "RELAY_DRAIN=1s", "RELAY_LOG_LEVEL=debug",
	}, settings...)}
	for range replicas {
		w.replicas = append(w.replicas, w.serve())
	}
	return w
}

// public returns the address of a replica, of another one each time.
func (w *world) public() string {
	n := w.next.Add(1)
	return w.replicas[n%uint64(len(w.replicas))].public
}

// replica is one running `linkrelay serve`.
type replica struct {
	public, admin string // base URLs
	log           *journal
	*process                    // nil in-process
	ended         chan struct{} // closed when it has ended, with
	code          int
}

// environment guards the process's environment, which is where settings come
// from: a replica or a command reads them while nobody else changes them.
var environment sync.Mutex

// setenv sets the variables and returns what unsets them.
func setenv(settings []string) (unset func()) {
	environment.Lock()
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		_ = os.Setenv(name, value)
	}
	return func() {
		for _, s := range settings {
			name, _, _ := strings.Cut(s, "=")
			_ = os.Unsetenv(name)
		}
		environment.Unlock()
	}
}

// serve runs a replica in this process, where the race detector and the leak
// check see it. It drains when the test ends.
func (w *world) serve() *replica {
	w.t.Helper()
	r := &replica{log: newJournal(), ended: make(chan struct{})}
	ctx, drain := context.WithCancel(context.Background())
	unset := setenv(w.settings)
	go func() {
		defer close(r.ended)
		r.code = command.Run(ctx, []string{"serve"}, io.Discard, r.log)
	}()
	w.t.Cleanup(func() {
		drain()
		w.over(r)
	})
	defer unset() // after the settings were read, however the start went
	w.started(r)
	return r
}

// serveProcess runs a replica in a process of its own, to be signalled.
func (w *world) serveProcess() *replica {
	w.t.Helper()
	r := &replica{log: newJournal()}
	r.process = w.start(r.log, w.settings, "serve")
	r.ended = r.process.ended
	w.t.Cleanup(func() {
		r.signal(syscall.SIGTERM)
		<-r.ended
		r.code = r.cmd.ProcessState.ExitCode()
		w.over(r)
	})
	w.started(r)
	return r
}

// process is this test binary running as linkrelay.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
}

// start starts linkrelay with only these variables in its environment. The
// test's end kills it.
func (w *world) start(log io.Writer, environment []string, args ...string) *process {
	w.t.Helper()
	p := &process{exec.Command(os.Args[0], args...), make(chan struct{})}
	p.cmd.Env = append([]string{programVariable + "=1"}, environment...)
	p.cmd.Stderr = log
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // the exit code is looked at where it matters
	}()
	w.t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.ended
	})
	return p
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) } // it may have ended

func (w *world) started(r *replica) {
	w.t.Helper()
	l := r.log.await(w.t, "serving", r.ended)
	r.public, r.admin = "http://"+l.Public, "http://"+l.Admin
}

// over waits for the replica's end and judges it by exit code and log.
func (w *world) over(r *replica) {
	w.t.Helper()
	transport.CloseIdleConnections()
	<-r.ended
	if r.code != 0 {
		w.t.Errorf("a replica ended with %d; log:\n%s", r.code, r.log.bytes())
	}
	text := r.log.bytes()
	if i := bytes.Index(text, []byte("DATA RACE")); i >= 0 {
		w.t.Errorf("a replica has a data race:\n%s", text[i:])
	}
	for _, l := range lines(text) {
		if l.Msg == "panic" || l.Code == "internal_error" && !w.damaged {
			w.t.Errorf("a replica failed: %+v; log:\n%s", l, text)
			return
		}
	}
}

// command runs a command that must succeed, and returns what it printed.
func (w *world) command(args ...string) (stdout string) {
	w.t.Helper()
	stdout, stderr, code := w.linkrelay(args...)
	if code != 0 {
		w.t.Fatalf("linkrelay %s: exit %d\n%s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// linkrelay runs a command in this process, as an operator would on the
// machine of the first replica.
func (w *world) linkrelay(args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	defer setenv([]string{"RELAY_ADMIN_TOKEN=" + adminToken, "RELAY_ADMIN_URL=" + w.replicas[0].admin})()
	var out, errs bytes.Buffer
	code = command.Run(w.t.Context(), args, &out, &errs)
	return out.String(), errs.String(), code
}
