package examples_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"linkrelay/relay"
)

// site serves links to follow.
type site struct {
	*httptest.Server
	hanging, gone chan struct{} // a request for /hang came, or went away
}

// newSite makes one where /click leads to /landing, /slow answers after a while
// and /hang never does.
func newSite(t *testing.T) *site {
	s := &site{hanging: make(chan struct{}, 100), gone: make(chan struct{}, 100)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/click":
			http.Redirect(rw, r, "/landing?"+r.URL.RawQuery, http.StatusFound)
		case "/slow":
			time.Sleep(3 * time.Second)
		case "/hang":
			s.hanging <- struct{}{}
			<-r.Context().Done()
			s.gone <- struct{}{}
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// desktop is the Node example running as a device's desktop.
type desktop struct {
	*exec.Cmd
	mu    sync.Mutex
	log   bytes.Buffer
	ended chan struct{}
}

// desktop starts it against a relay. The test's end stops it.
func (d device) desktop(t *testing.T, url string) *desktop {
	t.Helper()
	c := &desktop{Cmd: exec.Command("node", "node/cli.js", "desktop"), ended: make(chan struct{})}
	c.Dir, c.Env = root, example{url: url, credentials: d.credentials}.environ()
	c.Stdout, c.Stderr = c, c
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.ended)
		_ = c.Wait() // the exit code is looked at where it matters
	}()
	t.Cleanup(func() {
		c.stop(t)
		if t.Failed() {
			t.Logf("the desktop said:\n%s", c.said())
		}
	})
	return c
}

func (c *desktop) stop(t *testing.T) {
	t.Helper()
	_ = c.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(patience):
		_ = c.Process.Kill()
		t.Error("the desktop does not stop")
	}
}

// Write implements io.Writer.
func (c *desktop) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.Write(p)
}

func (c *desktop) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.String()
}

// says waits until the desktop has said something so many times.
func (c *desktop) says(t *testing.T, what string, times int) {
	t.Helper()
	for end := time.Now().Add(patience); strings.Count(c.said(), what) < times; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the desktop did not say %q %d times", what, times)
		}
	}
}

// platform is the example that the desktop's jobs come from.
func (d device) platform(t *testing.T) example {
	return example{"node", "link-peeler", d.w.public, d.key(t)}
}

// A job takes longer than its lease: the desktop keeps it.
func TestDesktopExtends(t *testing.T) {
	t.Parallel()
	w, site := newWorld(t, "RELAY_LEASE=1s"), newSite(t)
	d := w.link(t, `"plan":"business"`)
	d.desktop(t, w.public)
	p := d.platform(t)
	job := p.succeeds(t, "wait", p.succeeds(t, "submit", site.URL+"/slow", "crm", "7").JobID)
	if job.State != relay.Succeeded || job.Attempts != 1 {
		t.Errorf("%+v", job)
	}
}

// A job is cancelled while the desktop works on it: it stops at once.
func TestDesktopIsCancelled(t *testing.T) {
	t.Parallel()
	w, site := newWorld(t), newSite(t)
	d := w.link(t, `"plan":"business"`)
	c, p := d.desktop(t, w.public), d.platform(t)
	job := p.succeeds(t, "submit", site.URL+"/hang", "crm", "7")
	receive(t, site.hanging, "request for the link")
	p.succeeds(t, "cancel", job.JobID)
	receive(t, site.gone, "end of that request")
	c.says(t, job.JobID+": cancelled", 1)
}

// A link that cannot be followed is a failure, which the platform gets to see.
func TestDesktopFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "RELAY_MAX_ATTEMPTS=1")
	d := w.link(t, `"plan":"business"`)
	d.desktop(t, w.public)
	p := d.platform(t)
	job := p.succeeds(t, "wait", p.succeeds(t, "submit", "http://127.0.0.1:1/", "crm", "7").JobID)
	if job.State != relay.Dead || job.Error == "" {
		t.Errorf("%+v", job)
	}
}

// A desktop that is stopped gives its job back, with no attempt lost.
func TestDesktopStops(t *testing.T) {
	t.Parallel()
	w, site := newWorld(t), newSite(t)
	d := w.link(t, `"plan":"business"`)
	c, p := d.desktop(t, w.public), d.platform(t)
	job := p.succeeds(t, "submit", site.URL+"/hang", "crm", "7", "mine")
	receive(t, site.hanging, "request for the link")
	c.stop(t)
	if code := c.ProcessState.ExitCode(); code != 0 || !strings.Contains(c.said(), job.JobID+": given back") {
		t.Errorf("exit %d", code)
	}
	if job := p.succeeds(t, "find", "mine"); job.State != relay.Queued || job.Attempts != 0 {
		t.Errorf("%+v", job)
	}
}

// A key that the relay does not take ends the desktop, and it says why.
func TestDesktopIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.link(t, `"plan":"business"`)
	d.credentials = d.key(t) // of a platform
	c := d.desktop(t, w.public)
	receive(t, closed(c.ended), "end of the desktop")
	if code := c.ProcessState.ExitCode(); code != 1 || !strings.Contains(c.said(), "403 scope_missing: ") {
		t.Errorf("exit %d", code)
	}
}

func closed(c <-chan struct{}) <-chan bool {
	yes := make(chan bool, 1)
	go func() { <-c; yes <- true }()
	return yes
}

// The connection breaks, or the relay goes away and another takes over: the
// desktop connects again and does what waits.
func TestDesktopReconnects(t *testing.T) {
	t.Parallel()
	first, site := newWorld(t), newSite(t)
	second := newRelay(t, first.redis)
	d := first.link(t, `"plan":"business"`)
	p := d.platform(t)
	p.url = second.public
	balancer := newHop(t, first.public, mischief{})
	c := d.desktop(t, balancer.URL)
	c.says(t, "connected: ", 1)

	balancer.CloseClientConnections()
	c.says(t, "disconnected: ", 1)
	c.says(t, "\nconnected: ", 1)

	balancer.lead(t, second.public)
	_ = first.process.Signal(syscall.SIGTERM) // drains
	c.says(t, "\nconnected: ", 2)
	job := p.succeeds(t, "wait", p.succeeds(t, "submit", site.URL+"/click", "crm", "7").JobID)
	if job.State != relay.Succeeded || job.Result.FinalURL != site.URL+"/landing?" {
		t.Errorf("%+v", job)
	}
}

// The connection is dead although nobody closed it: without a ping for three
// intervals the desktop connects again. The relay's interval is 15 s; to see it
// sooner, a proxy makes the relay promise a ping every second.
func TestDesktopWatchesPings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.link(t, `"plan":"business"`)
	h := newHop(t, w.public, mischief{stream: func(body io.ReadCloser) io.ReadCloser { return &promise{ReadCloser: body} }})
	c := d.desktop(t, h.URL)
	c.says(t, "disconnected: heard nothing for 3 s", 1)
	c.says(t, "\nconnected: ", 1)
}

// promise changes the interval in the hello frame, which comes in one piece.
type promise struct {
	io.ReadCloser
	made bool
}

func (p *promise) Read(b []byte) (int, error) {
	n, err := p.ReadCloser.Read(b)
	if p.made {
		return n, err
	}
	p.made = true
	return copy(b, bytes.Replace(b[:n], []byte(`"pingSeconds":15`), []byte(`"pingSeconds":1`), 1)), err
}
