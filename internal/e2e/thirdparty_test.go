package e2e_test

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"linkrelay/client"
	"linkrelay/internal/resolve"
	"linkrelay/relay"
)

// Scripts that know only the third-party contract get a job queued, and, when a
// desktop has followed its link for real, the result. A program that is missing
// here fails the test.
func TestThirdParties(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	site := newSite(t)
	desktop := w.account("").link("reference desktop")
	desktop.run(w.replicas[1].public, resolves)
	for _, script := range [][]string{{"node", "testdata/fetch.mjs"}, {"python3", "testdata/fetch.py"}, {"sh", "testdata/fetch.sh"}} {
		t.Run(script[0], func(t *testing.T) {
			t.Parallel()
			k := desktop.key(client.KeySpec{Name: script[0]})
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
