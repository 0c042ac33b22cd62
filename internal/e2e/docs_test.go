package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"linkrelay/relay"
)

// What the relay tells about itself is there for everybody, may be kept, and
// is asked for again without being sent again.
func TestDocuments(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	get := func(path string, header ...string) answer {
		t.Helper()
		r := request{method: http.MethodGet, target: path, header: http.Header{}}
		for i := 0; i < len(header); i += 2 {
			r.header.Set(header[i], header[i+1])
		}
		return send(t, w.public(), r)
	}
	for path, want := range map[string]string{"/openapi.json": `"openapi": "3.1.0"`, "/docs": "linkrelay for developers", "/docs/vectors/iklim.json": `"scheme": "iklim"`,
		"/problems/lease_lost": "The lease is no longer held"} {
		first := get(path)
		if first.status != http.StatusOK || !strings.Contains(string(first.body), want) {
			t.Errorf("%s: %d, %d bytes without %q", path, first.status, len(first.body), want)
		}
		if again := get(path, "If-None-Match", first.header.Get("ETag")); again.status != http.StatusNotModified || len(again.body) > 0 {
			t.Errorf("%s asked for again: %d, %d bytes", path, again.status, len(again.body))
		}
		if other := get(path, "If-None-Match", `"another"`); other.status != http.StatusOK {
			t.Errorf("%s in place of another: %d", path, other.status)
		}
	}
	for _, e := range relay.Catalogue {
		document := get("/problems/"+string(e.Code), "Accept", "application/json")
		var explained struct{ Code relay.Code }
		if err := json.Unmarshal(document.body, &explained); err != nil || document.status != http.StatusOK || explained.Code != e.Code {
			t.Errorf("%s: %d %s, %v", e.Code, document.status, document.body, err)
		}
	}
	for _, nowhere := range []string{"/problems/nothing", "/docs/vectors/nothing.json", "/docs/vectors/keys", "/docs/"} {
		refused(t, get(nowhere), relay.NotFound)
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if a := send(t, w.public(), request{method: http.MethodHead, target: path}); a.status != http.StatusOK {
			t.Errorf("HEAD %s: %d", path, a.status)
		}
	}
}

// A desktop that uses the wire itself: it links, and hands a delivery back that
// it cannot do now. The platform's retry after the job's end gets the result.
func TestDesktopOnTheWire(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	a := w.account("")
	link := request{http.MethodPost, "/api/desktop/link", jsonHeader(http.Header{}), fmt.Sprintf(`{"code":%q,"name":"desktop","platform":"linux"}`, a.linkCode())}
	made := as[struct{ AccountID, DeviceID, Key, Secret string }](t, send(t, w.public(), link), http.StatusCreated)
	shown.secret("secret", made.Secret)
	other := a.link("other")
	frames := other.frames(w.public(), 1)
	k := other.createKeyWith(key{made.Key, made.Secret})
	held := holdJob(t, other, k, w.public(), frames, "order")
	back := as[relay.Job](t, send(t, w.public(), other.acts(held, "release")), http.StatusOK)
	if back.ID != held.JobID || back.State != relay.Queued {
		t.Errorf("released: %+v", back)
	}
	offered := jobFrame(t, frames)
	as[relay.Job](t, send(t, w.public(), other.acts(offered, "accept")), http.StatusOK)
	as[relay.Job](t, send(t, w.public(), other.acts(offered, "complete", `"result":[]`)), http.StatusOK)
	late := send(t, w.public(), k.fetch(jobBody("order", somewhere)))
	if known := as[relay.Job](t, late, http.StatusOK); string(known.Result) != "[]" || late.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a retry after the end: %s", late.body)
	}
}

// createKeyWith creates an API key with a device's key over the wire.
func (d device) createKeyWith(k key) key {
	d.w.t.Helper()
	made := as[struct {
		relay.Key
		Secret string
	}](d.w.t, send(d.w.t, d.w.public(), k.call(http.MethodPost, "/api/desktop/keys", `{"name":"of the wire"}`)), http.StatusCreated)
	shown.secret("secret", made.Secret)
	return key{made.ID, made.Secret}
}

// interpreters run the programs of the page, which they are given as a file.
var interpreters = map[string][]string{"sh": {"sh"}, "node": {"node"}, "python": {"python3"}, "php": {"php"}, "go": {"go", "run"}}

var extensions = map[string]string{"sh": ".sh", "node": ".mjs", "python": ".py", "php": ".php", "go": ".go"}

// The programs that the page shows do what it says they do, exactly as they
// stand there; only the link they send is to a site on this machine.
func TestPagePrograms(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	site := newSite(t)
	state := w.account("").linkDesktop()
	w.runDesktop(state)
	programs := programs(t, send(t, w.public(), request{method: http.MethodGet, target: "/docs"}).body)
	environment := w.shell(state)
	made := w.runProgram(t, environment, "sh", programs["key"]+" --json\n")
	var k struct{ Key, Secret string }
	if err := json.Unmarshal([]byte(made), &k); err != nil {
		t.Fatalf("%v: %s", err, made)
	}
	shown.secret("secret", k.Secret)
	environment = append(environment, "LINKRELAY_KEY="+k.Key, "LINKRELAY_SECRET="+k.Secret)
	for language := range interpreters {
		text, ok := programs[language]
		if !ok {
			t.Errorf("the page has no program in %s", language)
		}
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			at := strings.Index(text, "https://example.com/click?id=")
			if at < 0 {
				t.Fatal("the program sends no link to example.com")
			}
			out := w.runProgram(t, environment, language, strings.Replace(text, "https://example.com/click", site.URL+"/c/7", 1))
			lines := strings.Split(strings.TrimSpace(out), "\n")
			var job struct {
				State  relay.State
				Result struct{ FinalURL string }
			}
			if err := json.Unmarshal([]byte(lines[len(lines)-1]), &job); err != nil || job.State != relay.Succeeded || job.Result.FinalURL != resolved(site.URL).FinalURL {
				t.Errorf("%v: %s", err, out)
			}
			if language == "sh" && !strings.Contains(lines[0], `"wouldCreate":true`) {
				t.Errorf("the dry run says %s", lines[0])
			}
		})
	}
	t.Run("doctor", func(t *testing.T) {
		out := w.runProgram(t, environment, "sh", "set -eu\n"+programs["doctor"])
		if !strings.Contains(out, `"membership"`) {
			t.Errorf("the signed request was not answered:\n%s", out)
		}
	})
}

// programs are the page's, by the ids of their elements.
func programs(t *testing.T, page []byte) map[string]string {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for n := range root.Descendants() {
		for _, a := range n.Attr {
			id, ok := strings.CutPrefix(a.Val, "snippet-")
			if a.Key != "id" || !ok {
				continue
			}
			for text := range n.Descendants() {
				if text.Type == html.TextNode {
					found[id] += text.Data
				}
			}
		}
	}
	return found
}

// shell is an environment in which linkrelay is on the PATH, linked as state says.
func (w *world) shell(state string) []string {
	w.t.Helper()
	bin := w.t.TempDir()
	command := fmt.Sprintf("#!/bin/sh\n%s=1 exec '%s' \"$@\"\n", programVariable, os.Args[0])
	if err := os.WriteFile(filepath.Join(bin, "linkrelay"), []byte(command), 0o700); err != nil {
		w.t.Fatal(err)
	}
	home := w.t.TempDir() // where the command looks by itself
	if err := os.Mkdir(filepath.Join(home, "linkrelay"), 0o700); err != nil {
		w.t.Fatal(err)
	}
	credentials, err := os.ReadFile(state)
	if err == nil {
		err = os.WriteFile(filepath.Join(home, "linkrelay", "desktop.json"), credentials, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return append(os.Environ(), "XDG_CONFIG_HOME="+home, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "LINKRELAY_URL="+w.replicas[0].public)
}

// runProgram runs a program and returns what it printed.
func (w *world) runProgram(t *testing.T, environment []string, language, text string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "program"+extensions[language])
	if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	run := exec.CommandContext(ctx, interpreters[language][0], append(interpreters[language][1:], file)...)
	run.Env, run.Dir = environment, dir
	var errors strings.Builder
	run.Stderr = &errors
	out, err := run.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", language, err, out, errors.String())
	}
	return string(out)
}
