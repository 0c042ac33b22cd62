package docs_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"os/exec"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"linkrelay/config"
	"linkrelay/handler/docs"
	"linkrelay/internal/contracttest"
	"linkrelay/relay"
	"linkrelay/signature"
)

// element is one of the page's.
type element struct{ *html.Node }

func (e element) attr(name string) (value string, ok bool) {
	for _, a := range e.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func (e element) text() string {
	var all strings.Builder
	for n := range e.Descendants() {
		if n.Type == html.TextNode {
			all.WriteString(n.Data)
		}
	}
	return all.String()
}

// elements reads a page as a browser does.
func elements(t *testing.T, page []byte) (all []element) {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			all = append(all, element{n})
		}
	}
	return all
}

// with returns the text of each element that has the attribute, by its value.
func with(all []element, attribute string) map[string]string {
	found := map[string]string{}
	for _, e := range all {
		if v, ok := e.attr(attribute); ok {
			found[v] = e.text()
		}
	}
	return found
}

// Everything that the page links to is there: places on the page itself, and
// what else the relay serves. It is not large, and leaves no template behind.
func TestPageLinks(t *testing.T) {
	page := docs.Page()
	if len(page) > 500_000 || bytes.Contains(page, []byte("{{")) || bytes.Contains(page, []byte("ZgotmplZ")) || bytes.Contains(page, []byte("<no value>")) {
		t.Errorf("%d bytes, or an unfinished template", len(page))
	}
	all := elements(t, page)
	ids := with(all, "id")
	for _, e := range all {
		href, ok := e.attr("href")
		if !ok || e.Data == "link" {
			continue
		}
		path, anchor, inPage := strings.Cut(href, "#")
		switch {
		case path == "" && inPage:
			if _, ok := ids[anchor]; !ok {
				t.Errorf("a link to nowhere: %s", href)
			}
		case path == "/openapi.json":
		case strings.HasPrefix(path, "/problems/"):
			if _, ok := docs.Problem(relay.Code(strings.TrimPrefix(path, "/problems/"))); !ok {
				t.Errorf("no page %s", path)
			}
		case strings.HasPrefix(path, "/docs/vectors/"):
			if _, ok := docs.Vectors(strings.TrimSuffix(strings.TrimPrefix(path, "/docs/vectors/"), ".json")); !ok {
				t.Errorf("no vectors %s", path)
			}
		default:
			t.Errorf("a link elsewhere: %s", href)
		}
	}
	for _, e := range relay.Catalogue {
		if _, ok := ids["error-"+string(e.Code)]; !ok {
			t.Errorf("%s has no place on the page", e.Code)
		}
	}
	for _, m := range signature.Mistakes {
		if !bytes.Contains(page, []byte(html.EscapeString(m.Sentence))) {
			t.Errorf("the page does not say %q", m.Sentence)
		}
	}
}

// The pages' own style is what the policy lets through, and nothing else is.
func TestPolicyAllowsTheStyle(t *testing.T) {
	problem, _ := docs.Problem(relay.LeaseLost)
	for name, page := range map[string][]byte{"/docs": docs.Page(), "/problems/lease_lost": problem} {
		for _, e := range elements(t, page) {
			if e.Data == "style" {
				sum := sha256.Sum256([]byte(e.text()))
				if !strings.Contains(docs.ContentSecurityPolicy(), "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"';") {
					t.Errorf("%s: the policy does not know this style", name)
				}
			}
			if styled, ok := e.attr("style"); ok || e.Data == "script" {
				t.Errorf("%s: <%s style=%q>", name, e.Data, styled)
			}
		}
	}
}

// The commands that check the worked examples by hand print what the page says
// they print.
func TestWorkedExamplesByHand(t *testing.T) {
	all := elements(t, docs.Page())
	checks, answers := with(all, "data-check"), with(all, "data-answer")
	if len(checks) != 5 {
		t.Errorf("%d worked examples, want 5: two of link-peeler, one of iklim, two of signed-query", len(checks))
	}
	for name, command := range checks {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != answers[name] {
			t.Errorf("%s: %v\n%s\nprints %q, the page says %q", name, err, command, out, answers[name])
		}
	}
}

// What the page's templates render to is signed as the relay wants it.
func TestBuilderTemplatesAreSigned(t *testing.T) {
	rendered := regexp.MustCompile(`/api/links/\w+\?[^\s{}<]*Signature=[\w%]+`).FindAllString(html.UnescapeString(string(docs.Page())), -1)
	good := 0
	for _, target := range rendered {
		p, fault := signature.ParseSignedQuery(target)
		if fault != nil {
			t.Errorf("%s: %v", target, fault)
			continue
		}
		p.Creates = strings.Contains(target, "trackingUrl=")
		if p.Verify([]string{"lps_thisSecretIsPublishedAndMustNeverSignForRea3DUFt2"}, http.MethodGet, target, nil) != 0 {
			t.Errorf("%s: the signature does not match", target)
		}
		if p.Fresh(time.Unix(1735689600, 0), time.Minute) {
			good++
		}
	}
	if good < 2 {
		t.Errorf("%d rendered URLs in %q, want two that are fresh when they are rendered", good, rendered)
	}
}

// Each code's page and document say what the catalogue says.
func TestProblems(t *testing.T) {
	c, err := contracttest.New(docs.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{"X-Request-Id": {"r"}, "Cache-Control": {"no-cache"}, "X-Content-Type-Options": {"nosniff"}, "Etag": {`"0123456789abcdef"`},
		"Content-Security-Policy": {docs.ContentSecurityPolicy()}, "Referrer-Policy": {"no-referrer"}, "Vary": {"Accept"}, "Content-Type": {"application/json"}}
	for _, e := range relay.Catalogue {
		page, ok := docs.Problem(e.Code)
		text := ""
		for _, el := range elements(t, page) {
			if el.Data == "main" {
				text = el.text()
			}
		}
		for _, want := range []string{string(e.Code), strconv.Itoa(e.Status), e.Title, strings.ReplaceAll(e.Remedy, "`", "")} {
			if !strings.Contains(text, want) {
				t.Errorf("the page of %s does not say %q", e.Code, want)
			}
		}
		document, found := docs.ProblemJSON(e.Code)
		if !ok || !found {
			t.Errorf("%s has no page", e.Code)
		}
		for _, fault := range c.Check(&contracttest.Exchange{Method: http.MethodGet, Target: "/problems/" + string(e.Code), Status: http.StatusOK, Answer: header, AnswerBody: document, Whole: true}) {
			t.Error(fault)
		}
	}
	if _, ok := docs.Problem("no_such_code"); ok {
		t.Error("a page for no code")
	}
	if _, ok := docs.ProblemJSON("no_such_code"); ok {
		t.Error("a document for no code")
	}
	if _, ok := docs.Vectors("../keys"); ok {
		t.Error("vectors that nobody published")
	}
}

// What the page says a relay usually does is what its settings' defaults say.
func TestUsualSettings(t *testing.T) {
	usual := func(field string) time.Duration {
		f, ok := reflect.TypeFor[config.Config]().FieldByName(field)
		d, err := time.ParseDuration(f.Tag.Get("default"))
		if !ok || err != nil {
			t.Fatalf("setting %s: %v", field, err)
		}
		return d
	}
	page := string(docs.Page())
	for _, says := range []string{
		"may be " + strconv.Itoa(int(usual("MaxSkew").Seconds())) + " seconds off",
		"accept, within " + strconv.Itoa(int(usual("Offer").Seconds())) + " s",
		"no extend for " + strconv.Itoa(int(usual("Lease").Seconds())) + " s",
	} {
		if !strings.Contains(page, says) {
			t.Errorf("the page does not say %q", says)
		}
	}
}
