package e2e_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"linkrelay/internal/redistest"
	"linkrelay/internal/resolve"
	"linkrelay/relay"
)

// seedScripts are programs written from the seeds alone: the program, the flags
// of its key, and what its third call, which is the first once more, is
// answered. Iklim refuses an idempotency key that was used (seed 004);
// signed-query recognises it.
var seedScripts = map[string]struct {
	program, key string
	again        int
}{
	"iklim in Node":           {"node testdata/iklim.mjs", "--schemes iklim", http.StatusConflict},
	"iklim in Python":         {"python3 testdata/iklim.py", "--schemes iklim", http.StatusConflict},
	"iklim with curl":         {"sh testdata/iklim.sh", "--schemes iklim", http.StatusConflict},
	"signed-query":            {"sh testdata/query.sh sha256", "--schemes signed-query --scopes jobs:create:query,jobs:read", http.StatusOK},
	"signed-query with SHA-1": {"sh testdata/query.sh sha1", "--schemes signed-query --scopes jobs:create:query,jobs:read --allow-sha1", http.StatusOK},
}

// Scripts that know only a seed get a job queued and, when a desktop has
// followed its link for real, the result; no program that is missing is skipped.
func TestSeedScripts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	redis := redistest.Start(t, "--dir", dir, "--appendonly", "yes")
	w := worldOn(t, redis, 2)
	site := newSite(t)
	state := w.account("").linkDesktop()
	w.runDesktop(state)
	t.Cleanup(func() { noSecretsIn(t, dir) })
	for name, script := range seedScripts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			order := uuid.NewString()
			k := w.createKey(state, name, strings.Fields(script.key)...)
			answers := w.runScript(t, k, append(strings.Fields(script.program), site.URL+"/c/7", order, "Zeile 7 · äöü"))
			if len(answers) != 3 {
				t.Fatalf("%d answers, want 3", len(answers))
			}
			queued := as[relay.Job](t, answers[0], http.StatusAccepted)
			if queued.State != relay.Queued || queued.IdempotencyKey != order || queued.Source != "crm" || queued.RowID != "Zeile 7 · äöü" {
				t.Errorf("queued: %s", answers[0].body)
			}
			job := as[relay.Job](t, answers[1], http.StatusOK)
			var result resolve.Result
			if err := json.Unmarshal(job.Result, &result); err != nil {
				t.Fatalf("%v: %s", err, answers[1].body)
			}
			if diff := cmp.Diff(resolved(site.URL), result, cmpopts.IgnoreFields(resolve.Hop{}, "Millis")); diff != "" || job.ID != queued.ID {
				t.Errorf("result of %s (-want +got):\n%s", job.ID, diff)
			}
			var again struct{ JobID, Code string }
			if err := json.Unmarshal(answers[2].body, &again); err != nil || answers[2].status != script.again || again.JobID != queued.ID {
				t.Errorf("once more: %d %s", answers[2].status, answers[2].body)
			}
			if script.again == http.StatusConflict && again.Code != string(relay.IdempotencyKeyReused) {
				t.Errorf("refused: %s", answers[2].body)
			}
		})
	}
}

// mozTemplate is seed 003's example, written for this relay: its host, and
// KEY and SECRET where Moz has its own.
const mozTemplate = `BASE/api/links/quota?AccessID=KEY&Expires={hash.getExpiryTime(240);}` +
	`&signedAuthentication={hash.append("KEY").appendNewLine().append(hash.getExpiryTime(240)).encodeHmacSha1("SECRET").encodeBase64().encodeURL().printDigest();}`

// jobTemplate creates a job in the same way.
const jobTemplate = `BASE/api/links/fetch?idempotencyKey=order-7&trackingUrl=https%3A%2F%2Fclick.example%2Fc%2F7&source=moz&rowId=7` +
	`&AccessID=KEY&Expires={hash.getExpiryTime(240);}&signedAuthentication={hash.append("KEY").appendNewLine().append(hash.getExpiryTime(240))` +
	`.appendNewLine().append("order-7").appendNewLine().append("https://click.example/c/7").appendNewLine().append("moz").appendNewLine().append("7")` +
	`.encodeHmacSha256("SECRET").toHex().printDigest();}`

// What the signed authentication builder renders, a dashboard may open as it is.
func TestBuilderTemplates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	state := w.account("").linkDesktop()
	k := w.createKey(state, "dashboard", "--schemes", "signed-query", "--scopes", "jobs:create:query,jobs:read", "--allow-sha1")
	open := func(template string) answer {
		template = strings.NewReplacer("BASE", w.public(), "KEY", k.id, "SECRET", k.secret).Replace(template)
		file := filepath.Join(t.TempDir(), "template.txt")
		if err := os.WriteFile(file, []byte(template), 0o600); err != nil {
			t.Fatal(err)
		}
		rendered := strings.TrimSpace(w.command("sign", "url", "--file", file))
		text, err := exec.CommandContext(t.Context(), "curl", "-sS", "-w", "%{http_code}", rendered).Output()
		status, numeric := strconv.Atoi(string(text[max(0, len(text)-3):]))
		if err != nil || numeric != nil {
			t.Fatalf("curl: %v, %s", err, text)
		}
		return answer{status: status, body: text[:len(text)-3]}
	}
	as[relay.QuotaStatus](t, open(mozTemplate), http.StatusOK)
	made := as[relay.Job](t, open(jobTemplate), http.StatusAccepted)
	if again := as[relay.Job](t, open(jobTemplate), http.StatusAccepted); again.ID != made.ID || made.IdempotencyKey != "order-7" {
		t.Errorf("made %+v, then %+v", made, again)
	}
}
