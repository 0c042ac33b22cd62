// Package docs runs what the README shows, in the order it is shown, as
// somebody who follows it from top to bottom would.
package docs

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"linkrelay/internal/redistest"
)

// block is one fenced block of a document.
type block struct{ language, text string }

var fence = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")

func blocks(t *testing.T, path string) (all []block) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		all = append(all, block{m[1], m[2]})
	}
	return all
}

// TestREADME follows the README. What differs from a reader's machine is what
// has to: ports, Redis' address, and a site on this machine in place of
// example.com.
func TestREADME(t *testing.T) {
	redis := redistest.Start(t)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/click" {
			http.Redirect(w, r, "/landing", http.StatusFound)
		}
	}))
	t.Cleanup(site.Close)
	public, admin := freePort(t), freePort(t)
	swap := strings.NewReplacer("redis://127.0.0.1:6379", redis.URL(), "https://example.com", site.URL,
		"127.0.0.1:8080", public, "desktop run", "desktop run --allow-private")
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var story, goSnippets strings.Builder
	fmt.Fprintf(&story, "set -eu\nroot=%s\n", root)
	story.WriteString("trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n")
	for _, b := range blocks(t, "../../README.md") {
		text := swap.Replace(b.text)
		switch {
		case b.language == "sh" && (text == "make demo\n" || text == "make test\n"):
			// CI runs these two themselves; running the tests from a test would not end.
		case b.language == "sh":
			text = strings.Replace(text, `make build && export PATH="$PWD/bin:$PATH"`, `make -s -C "$root" build && export PATH="$root/bin:$PATH"`, 1)
			story.WriteString(text)
			if strings.Contains(text, "linkrelay serve &") {
				fmt.Fprintf(&story, "until curl -fsS http://%s/readyz >/dev/null 2>&1; do kill -0 $!; sleep 0.05; done\n", admin)
			}
		case b.language == "js":
			fmt.Fprintf(&story, "node --input-type=module <<'END'\n%sEND\n", text)
		case b.language == "python":
			fmt.Fprintf(&story, "python3 - <<'END'\n%sEND\n", text)
		case b.language == "go":
			fmt.Fprintf(&goSnippets, "func() {\n%s\t_ = err\n}()\n", text)
		default:
			t.Errorf("nobody runs a block of language %q", b.language)
		}
	}
	// The waiting comes last: the desktop in the background has its jobs by then.
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", story.String())
	cmd.Dir, cmd.WaitDelay = dir, 10*time.Second
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "GOPATH="+goEnv(t, "GOPATH"), "GOCACHE="+goEnv(t, "GOCACHE"),
		"GOMODCACHE="+goEnv(t, "GOMODCACHE"), "RELAY_LISTEN="+public, "RELAY_ADMIN_LISTEN="+admin, "RELAY_ADMIN_URL=http://"+admin,
		"RELAY_DESKTOP_URL=http://"+public, "RELAY_ALLOW_PRIVATE_TARGETS=true")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{`"state":"queued"`, "state: 'succeeded'", "/landing", "'membership'", `"windows":`, `"idempotencyKey":"order-1003"`, `"secretGeneration":2`, "LAST USED"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("following the README does not show %s:\n%s", want, &out)
		}
	}
	compile(t, root, goSnippets.String())
}

// compile builds the Go snippets as the body of a program in this module.
func compile(t *testing.T, root, snippets string) {
	t.Helper()
	program := "package main\n\nimport (\n\t\"context\"\n\t\"encoding/json\"\n\t\"log\"\n\n\t\"linkrelay/client\"\n\t\"linkrelay/relay\"\n)\n\n" +
		"func main() {\n\tctx := context.Background()\n\tvar relayURL, deviceKey, deviceSecret, key, secret string\n" + snippets + "}\n"
	program = strings.Replace(program, "job, err := platform", "_, err = platform", 1)
	dir, err := os.MkdirTemp(filepath.Join(root, "internal", "docs"), "snippet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "vet", dir).CombinedOutput(); err != nil {
		t.Errorf("the Go snippets do not compile: %v\n%s\n%s", err, out, program)
	}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
