package examples_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fence = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")
	row   = regexp.MustCompile("(?m)^\\| \\w+ \\| [^|]+ \\| `([^`]+)` \\|")
)

// Every command of the README does what it says, in every language. What
// differs from a reader's machine is what has to: the address, the key, and a
// site on this machine in place of example.com.
func TestREADME(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	w, site := newWorld(t), newSite(t)
	var shared, story strings.Builder // once; once for every language
	for _, block := range fence.FindAllStringSubmatch(string(text), -1) {
		switch code := strings.ReplaceAll(block[2], "https://example.com", site.URL); {
		case block[1] == "js":
			t.Run("js", func(t *testing.T) { t.Parallel(); snippet(t, w, code) })
		case block[1] != "sh":
			t.Errorf("nobody runs a block of language %q", block[1])
		case strings.HasPrefix(code, "export LINKRELAY_URL="): // is in the environment
		case strings.HasSuffix(code, "cli.js desktop\n"):
			shared.WriteString(strings.TrimSuffix(code, "\n") + " & \n")
		case strings.Contains(code, "python/linkrelay.py"):
			story.WriteString(code)
		default:
			shared.WriteString(code)
		}
	}
	t.Run("vectors and desktop", func(t *testing.T) {
		t.Parallel()
		d := w.link(t, `"plan":"business"`)
		follow(t, d, d.key(t), shared.String()+"sleep 1\nkill -TERM $!\nwait $!\n", "connected: ", "signatures")
	})
	rows := row.FindAllStringSubmatch(string(text), -1)
	if len(rows) != len(languages) {
		t.Errorf("%d languages in the table", len(rows))
	}
	for _, command := range rows {
		t.Run(command[1], func(t *testing.T) {
			t.Parallel()
			d := w.link(t, `"plan":"business"`)
			code := strings.ReplaceAll(story.String(), "python3 python/linkrelay.py", command[1])
			follow(t, d, d.key(t), code, "wouldCreate", "order-1001", "membership", "cancelled", "row-9", "row-10")
		})
	}
}

// follow runs what the README says in the examples' folder.
func follow(t *testing.T, d device, key credentials, code string, shows ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	c := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", code)
	c.Dir, c.WaitDelay = root, patience
	c.Env = append(example{"", "", d.w.public, key}.environ(), "DEVICE_KEY="+d.id, "DEVICE_SECRET="+d.secret)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, code, out)
	}
	for _, text := range shows {
		if !strings.Contains(string(out), text) {
			t.Errorf("following the README does not show %s:\n%s", text, out)
		}
	}
}

// snippet runs a program that uses the installed Node package.
func snippet(t *testing.T, w *world, code string) {
	t.Helper()
	dir := t.TempDir()
	install(t, filepath.Join(dir, "node_modules", "linkrelay-client"))
	file := filepath.Join(dir, "snippet.mjs")
	if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	d := w.link(t, `"plan":"business"`)
	follow(t, d, d.key(t), "node "+file, "state: 'succeeded'", "/click?id=11")
}
