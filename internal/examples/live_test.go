package examples_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"linkrelay/relay"
)

var schemes = []string{"link-peeler", "link-peeler-v1", "iklim", "signed-query"}

// Every example does every call under every scheme; the Node example's desktop
// does the jobs.
func TestEveryCall(t *testing.T) {
	t.Parallel()
	w, site := newWorld(t), newSite(t)
	d := w.link(t, `"plan":"business"`)
	d.desktop(t, w.public)
	key := d.key(t)
	all(t, func(t *testing.T, language, scheme string) {
		everyCall(t, example{language, scheme, w.public, key}, site.URL)
	})
}

// Values with what has to be escaped somewhere on the way.
const (
	source = `news "letter" \ & co`
	rowID  = "Zeile 7 · äöü 🍐 +%2F"
)

func everyCall(t *testing.T, e example, site string) {
	link, name := site+"/click?id=7&to=a%2Fb+c", uuid.NewString()
	tried := e.succeeds(t, "verify", link, source, rowID, name)
	if tried.OK == nil || !*tried.OK || tried.WouldCreate == nil || !*tried.WouldCreate || !strings.HasPrefix(e.scheme, tried.Scheme) {
		t.Errorf("verify: %+v", tried)
	}
	made := e.succeeds(t, "submit", link, source, rowID, name)
	if made.State != relay.Queued || made.IdempotencyKey != name || made.Source != source || made.RowID != rowID {
		t.Errorf("submit: %+v", made)
	}
	done := e.succeeds(t, "wait", made.JobID)
	if want := site + "/landing?id=7&to=a%2Fb+c"; done.State != relay.Succeeded || done.Result.FinalURL != want || done.Result.Status != http.StatusOK {
		t.Errorf("wait: %+v, want %s", done, want)
	}
	if found := e.succeeds(t, "find", name); found.JobID != made.JobID || found.State != relay.Succeeded {
		t.Errorf("find: %+v, want %s", found, made.JobID)
	}
	again := []string{"submit", link, source, rowID, name}
	if e.scheme == "iklim" {
		if p := e.fails(t, "409 idempotency_key_reused", nil, again...); p.JobID != made.JobID {
			t.Errorf("submitted again: %+v, want job %s", p, made.JobID)
		}
	} else if same := e.succeeds(t, again...); same.JobID != made.JobID {
		t.Errorf("submitted again: %+v, want job %s", same, made.JobID)
	}
	if quota := e.succeeds(t, "quota"); quota.Membership.State != "active" {
		t.Errorf("quota: %+v", quota)
	}
	e.cancels(t, site)
}

// cancels also lets the example choose an idempotency key.
func (e example) cancels(t *testing.T, site string) {
	t.Helper()
	waiting := e.succeeds(t, "submit", site+"/hang", source, rowID)
	if _, err := uuid.Parse(waiting.IdempotencyKey); err != nil {
		t.Errorf("submit: %+v, want a UUID as idempotency key", waiting)
	}
	if e.scheme == "signed-query" { // it reads and creates
		e.fails(t, "400 header_malformed", nil, "cancel", waiting.JobID)
		e.scheme = "link-peeler"
	}
	if cancelled := e.succeeds(t, "cancel", waiting.JobID); cancelled.JobID != waiting.JobID || cancelled.State != relay.Cancelled {
		t.Errorf("cancel: %+v, want %s", cancelled, waiting.JobID)
	}
}

// A command that is not there, or has too few arguments, or no settings, is
// told what to do.
func TestUsage(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, language string) {
		good := example{language, "link-peeler", "http://127.0.0.1:9", credentials{"lp_live_x", "lps_x"}}
		for _, args := range [][]string{{}, {"toString"}, {"submit", "one"}, {"wait"}, {"quota", "much"}} {
			if out := good.run(t, args...); out.code != 1 || !strings.Contains(out.stderr, "usage: ") || strings.Count(out.stderr, "\n") != 4+strings.Count(language, "node") {
				t.Errorf("%q: exit %d\n%s", args, out.code, out.stderr)
			}
		}
		for _, tt := range []struct {
			without example
			names   string
		}{
			{example{language, "link-peeler", "", good.credentials}, "LINKRELAY_URL"},
			{example{language, "link-peeler", good.url, credentials{"", "lps_x"}}, "LINKRELAY_KEY"},
			{example{language, "link-peeler", good.url, credentials{"lp_live_x", ""}}, "LINKRELAY_SECRET"},
			{example{language, "v2", good.url, good.credentials}, fmt.Sprint("LINKRELAY_SCHEME must be one of ", strings.Join(schemes, ", "))},
		} {
			if out := tt.without.run(t, "quota"); out.code == 0 || !strings.Contains(out.stderr, tt.names) {
				t.Errorf("exit %d, want %s named\n%s", out.code, tt.names, out.stderr)
			}
		}
	})
}
