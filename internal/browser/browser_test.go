// Package browser opens what the relay serves to people in a real browser.
package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"linkrelay/internal/command"
)

const patience = 2 * time.Minute // for everything that one test does, on a busy machine

// relay starts a relay that keeps everything in memory, as `linkrelay serve`
// does, and returns its public address.
func relay(t *testing.T) string {
	t.Helper()
	for name, value := range map[string]string{"RELAY_EMBEDDED": "true", "RELAY_LISTEN": "127.0.0.1:0", "RELAY_ADMIN_LISTEN": "127.0.0.1:0", "RELAY_DRAIN": "1s"} {
		t.Setenv(name, value)
	}
	ctx, stop := context.WithCancel(context.Background())
	log, into := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- command.Run(ctx, []string{"serve"}, io.Discard, into)
		_ = into.Close()
	}()
	serving := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(log); lines.Scan(); {
			var line struct{ Msg, Public string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				serving <- "http://" + line.Public
			}
		}
	}()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != 0 {
			t.Errorf("the relay ended with %d", code)
		}
	})
	select {
	case address := <-serving:
		return address
	case <-time.After(patience):
		t.Fatal("the relay did not start")
		return ""
	}
}

// tab is one tab of a browser of its own, and what it did that nobody asked for.
type tab struct {
	t    *testing.T
	ctx  context.Context
	home string // where it may go

	mu       sync.Mutex
	requests []string
	faults   []string
}

// browsers are the names that Chromium goes by.
var browsers = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
	"/Applications/Chromium.app/Contents/MacOS/Chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"}

func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range browsers {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there is no Chromium on the PATH; remedy: make tools (or install chromium)")
	return ""
}

func newTab(t *testing.T, home string) *tab {
	t.Helper()
	profile, err := os.MkdirTemp("", "browser") // not t.TempDir: the browser may still write while it is removed
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(profile) })
	allocator, stop := chromedp.NewExecAllocator(context.Background(), chromedp.ExecPath(chromium(t)), chromedp.UserDataDir(profile),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-extensions", true), chromedp.Flag("disable-dev-shm-usage", true))
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	b := &tab{t: t, ctx: ctx, home: home}
	if err := chromedp.Listen(ctx, b.watch); err != nil { // starts the browser
		t.Fatal(err)
	}
	var cancel context.CancelFunc
	b.ctx, cancel = context.WithTimeout(ctx, patience)
	t.Cleanup(cancel)
	call(b, network.Enable, network.EnableParams{})
	call(b, runtime.Enable, cdp.Empty{})
	call(b, log.Enable, cdp.Empty{})
	call(b, audits.Enable, cdp.Empty{})
	t.Cleanup(b.judge)
	return b
}

// watch notes every request, and everything that a developer's console shows.
func (b *tab) watch(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, "data:") {
			b.requests = append(b.requests, e.Request.URL)
		}
	case *log.EventEntryAdded:
		b.faults = append(b.faults, string(e.Entry.Level)+": "+e.Entry.Text+" "+e.Entry.URL)
	case *runtime.EventConsoleAPICalled:
		b.faults = append(b.faults, "console."+string(e.Type))
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, e.ExceptionDetails.Text)
	case *audits.EventIssueAdded:
		details, _ := json.Marshal(e.Issue.Details)
		b.faults = append(b.faults, "issue "+string(e.Issue.Code)+" "+string(details))
	}
}

// judge fails the test for what the tab should not have done.
func (b *tab) judge() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, fault := range b.faults {
		b.t.Errorf("the browser complains: %s", fault)
	}
	home, err := url.Parse(b.home)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, request := range b.requests {
		if u, err := url.Parse(request); err != nil || u.Host != home.Host {
			b.t.Errorf("the page asked for %s", request)
		}
	}
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// call sends a command of the DevTools protocol.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	result, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

func (b *tab) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.home+path), chromedp.WaitReady(chromedp.CSS("body")))
}

// ask evaluates an expression in the page. The debugger may do that where the
// page itself may run no script.
func ask[T any](b *tab, expression string) T {
	b.t.Helper()
	answer, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return answer
}
