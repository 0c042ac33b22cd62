package e2e_test

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"linkrelay/internal/command"
	"linkrelay/internal/redistest"
	"linkrelay/internal/resolve"
	"linkrelay/relay"
)

// Scripts that know only the third-party contract get a job queued, and, when
// the reference desktop has followed its link for real, the result. A program
// that is missing here fails the test.
func TestThirdParties(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	redis := redistest.Start(t, "--dir", dir, "--appendonly", "yes")
	w := worldOn(t, redis, 2)
	site := newSite(t)
	state := w.account("").linkDesktop()
	w.runDesktop(state)
	t.Cleanup(func() { noSecretsIn(t, dir) })
	for _, script := range [][]string{{"node", "testdata/fetch.mjs"}, {"python3", "testdata/fetch.py"}, {"sh", "testdata/fetch.sh"}} {
		t.Run(script[0], func(t *testing.T) {
			t.Parallel()
			k := w.createKey(state, script[0])
			answers := w.runScript(t, k, append(script, site.URL+"/c/7", "order-"+script[0], "Zeile 7 · äöü"))
			if len(answers) != 3 {
				t.Fatalf("%d answers, want 3", len(answers))
			}
			first := as[relay.Job](t, answers[0], http.StatusAccepted)
			if first.State != relay.Queued || first.IdempotencyKey != "order-"+script[0] || first.Source != "crm" || first.RowID != "Zeile 7 · äöü" {
				t.Errorf("queued: %s", answers[0].body)
			}
			for _, a := range answers[1:] {
				job := as[relay.Job](t, a, http.StatusOK)
				if job.ID != first.ID || job.State != relay.Succeeded || job.Attempts != 1 || job.RowID != first.RowID {
					t.Errorf("job %s", a.body)
				}
				var result resolve.Result
				if err := json.Unmarshal(job.Result, &result); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(resolved(site.URL), result, cmpopts.IgnoreFields(resolve.Hop{}, "Millis")); diff != "" {
					t.Errorf("result (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// runScript runs a script against a replica and returns the answers it printed.
func (w *world) runScript(t *testing.T, k key, command []string) []answer {
	t.Helper()
	script := exec.CommandContext(t.Context(), command[0], command[1:]...)
	script.Env = append(script.Environ(), "LINK_PEELER_URL="+w.replicas[0].public, "LINK_PEELER_KEY="+k.id, "LINK_PEELER_SECRET="+k.secret)
	var errors strings.Builder
	script.Stderr = &errors
	out, err := script.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", command, err, out, errors.String())
	}
	var answers []answer
	for line := range strings.Lines(string(out)) {
		status, body, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		n, err := strconv.Atoi(status)
		if err != nil {
			t.Fatalf("%s printed %q", command, line)
		}
		answers = append(answers, answer{status: n, body: []byte(body)})
	}
	return answers
}

// createKey creates an API key on the desktop, with the command.
func (w *world) createKey(state, name string, flags ...string) key {
	w.t.Helper()
	var made struct{ Key, Secret string }
	command := append([]string{"desktop", "key", "create", "--state", state, "--name", name, "--json"}, flags...)
	if err := json.Unmarshal([]byte(w.command(command...)), &made); err != nil {
		w.t.Fatal(err)
	}
	shown.secret("secret", made.Secret)
	return key{made.Key, made.Secret}
}

// runDesktop runs the reference desktop until the test ends.
func (w *world) runDesktop(state string) {
	w.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	log := newJournal()
	go func() {
		ended <- command.Run(ctx, []string{"desktop", "run", "--state", state, "--relay-url", w.replicas[1].public, "--allow-private"}, io.Discard, log)
	}()
	w.t.Cleanup(func() {
		stop()
		if code := receive(w.t, ended, "end of the desktop"); code != 0 {
			w.t.Errorf("the desktop ended with %d; log:\n%s", code, log.bytes())
		}
	})
}

// noSecretsIn looks through the files of a Redis: at rest secrets are sealed,
// and tokens and codes are hashed (DESIGN §2.9).
func noSecretsIn(t *testing.T, dir string) {
	t.Helper()
	size := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		size += len(text)
		if kind := shown.kindIn(text); kind != "" {
			t.Errorf("Redis keeps a %s as it is, in %s", kind, entry.Name())
		}
		return err
	})
	if err != nil || size == 0 {
		t.Errorf("read %d bytes of Redis' files: %v", size, err)
	}
}
