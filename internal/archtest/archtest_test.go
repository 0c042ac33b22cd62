// Package archtest keeps the import rules of DESIGN §1: who may know whom.
package archtest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "linkrelay"

// node is one package as `go list -json` describes it.
type node struct {
	ImportPath string
	Imports    []string // of the package itself, not of its tests
}

// may says what a package may import besides the standard library.
type may struct {
	ours   []string // packages of this module, below its root
	others []string // modules or package paths of others
}

// rules are DESIGN §1's table, with the modules that each package was allowed
// since. What is internal may import anything but the commands and test code.
var rules = map[string]may{
	"":                  {ours: []string{"internal/command"}},
	"relay":             {others: []string{"golang.org/x/net"}},
	"signature":         {},
	"signature/builder": {},
	"quota":             {ours: []string{"relay"}, others: []string{"github.com/go-json-experiment/json"}},
	"redisstore":        {ours: []string{"relay", "quota"}, others: []string{"github.com/redis/go-redis/v9", "go.uber.org/zap", "github.com/hashicorp/golang-lru/v2"}},
	"handler":           {ours: []string{"relay", "quota", "signature", "handler/docs"}, others: []string{"github.com/gin-gonic/gin", "go.uber.org/zap", "github.com/go-json-experiment/json", "github.com/google/uuid"}},
	"handler/docs":      {ours: []string{"relay", "signature", "signature/builder"}},
	"config":            {others: []string{"github.com/kelseyhightower/envconfig"}},
	"client":            {ours: []string{"relay", "signature"}, others: []string{"github.com/google/uuid"}},
	"examples/go":       {}, // a client to copy: it shows how to do without ours
}

// testOnly are for tests: a product that imports one carries test code.
var testOnly = []string{"testing", "net/http/httptest", "go.uber.org/goleak", "pgregory.net/rapid", "github.com/google/go-cmp", "github.com/anishathalye/porcupine",
	"github.com/getkin/kin-openapi", "github.com/santhosh-tekuri/jsonschema/v6", "github.com/chromedp/chromedp", "github.com/chromedp/cdproto"}

func TestImports(t *testing.T) {
	graph := list(t)
	for _, path := range []string{module, module + "/relay", module + "/internal/command"} {
		if !slices.ContainsFunc(graph, func(n node) bool { return n.ImportPath == path }) {
			t.Errorf("%s is not in the graph: the rules would prove nothing", path)
		}
	}
	for _, v := range violations(graph) {
		t.Error(v)
	}
}

// list reads the module's import graph.
func list(t *testing.T) []node {
	t.Helper()
	lookAtSources(t)
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", module+"/...").Output()
	if err != nil {
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %v\n%s", err, failed.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var graph []node
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var n node
		if err := d.Decode(&n); errors.Is(err, io.EOF) {
			return graph
		} else if err != nil {
			t.Fatal(err)
		}
		graph = append(graph, n)
	}
}

// lookAtSources makes the result's cache entry depend on the sources: go test
// notices what the test itself looks at, not what go list reads for it.
func lookAtSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, _ os.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".go" {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// violations lists the imports that the rules forbid, in the graph's order.
func violations(graph []node) []string {
	var found []string
	for _, n := range graph {
		name := strings.TrimPrefix(strings.TrimPrefix(n.ImportPath, module), "/")
		rule, ruled := rules[name]
		internal := strings.HasPrefix(name, "internal/")
		if !ruled && !internal {
			found = append(found, name+" has no rule: say in DESIGN §1's table and here what it may import")
			continue
		}
		for _, path := range n.Imports {
			ours, isOurs := strings.CutPrefix(path, module+"/")
			switch {
			case isTestHelper(name):
			case isOurs && isTestHelper(ours), slices.ContainsFunc(testOnly, func(p string) bool { return within(path, p) }):
				found = append(found, name+" imports "+path+", which is for tests")
			case internal && isOurs && ours == "internal/command":
				found = append(found, name+" imports "+path+", which only main does")
			case internal || isStandard(path):
			case isOurs && !slices.Contains(rule.ours, ours), !isOurs && !slices.ContainsFunc(rule.others, func(p string) bool { return within(path, p) }):
				found = append(found, name+" imports "+path+", which DESIGN §1 does not allow")
			}
		}
	}
	return found
}

// isTestHelper reports whether a package of ours serves tests: by convention
// its name ends with test. The benchmark is a test in all but its clock.
func isTestHelper(name string) bool {
	return name == "internal/bench" || strings.HasPrefix(name, "internal/") && strings.HasSuffix(name, "test")
}

// isStandard reports whether a path is of the standard library: only those
// have no dot in their first element, our own module apart.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".") && first != module
}

func within(path, parent string) bool {
	return path == parent || strings.HasPrefix(path, parent+"/")
}

func TestRulesAllow(t *testing.T) {
	graph := []node{
		{module, []string{"os", "linkrelay/internal/command"}},
		{"linkrelay/handler", []string{"net/http", "linkrelay/relay", "linkrelay/quota", "linkrelay/signature", "go.uber.org/zap/zapcore"}},
		{"linkrelay/redisstore", []string{"linkrelay/relay", "linkrelay/quota", "github.com/redis/go-redis/v9"}},
		{"linkrelay/internal/command", []string{"linkrelay/handler", "linkrelay/redisstore", "github.com/spf13/cobra"}},
		{"linkrelay/internal/redistest", []string{"testing", "linkrelay/redisstore"}},
	}
	if found := violations(graph); len(found) > 0 {
		t.Errorf("allowed imports were refused: %q", found)
	}
}

func TestRulesForbid(t *testing.T) {
	tests := map[string]struct{ from, to string }{
		"handler knows no store":            {"linkrelay/handler", "linkrelay/redisstore"},
		"the store knows no handler":        {"linkrelay/redisstore", "linkrelay/handler"},
		"handler speaks no Redis":           {"linkrelay/handler", "github.com/redis/go-redis/v9"},
		"handler takes no detour":           {"linkrelay/handler", "linkrelay/internal/embedded"},
		"relay imports nothing of ours":     {"linkrelay/relay", "linkrelay/config"},
		"relay's exceptions are by module":  {"linkrelay/relay", "golang.org/x/network"},
		"signature is stdlib only":          {"linkrelay/signature", "github.com/google/uuid"},
		"signature imports nothing of ours": {"linkrelay/signature", "linkrelay/relay"},
		"docs know no handler":              {"linkrelay/handler/docs", "linkrelay/handler"},
		"quota knows no store":              {"linkrelay/quota", "linkrelay/redisstore"},
		"config knows nobody":               {"linkrelay/config", "linkrelay/relay"},
		"the SDK knows no server":           {"linkrelay/client", "linkrelay/handler"},
		"main only starts":                  {"linkrelay", "linkrelay/handler"},
		"nobody imports the commands":       {"linkrelay/internal/embedded", "linkrelay/internal/command"},
		"no testing in the product":         {"linkrelay/handler", "testing"},
		"nor below internal":                {"linkrelay/internal/command", "net/http/httptest"},
		"nor helpers of our own":            {"linkrelay/internal/command", "linkrelay/internal/redistest"},
		"nor modules for tests":             {"linkrelay/redisstore", "pgregory.net/rapid"},
		"a new package needs a rule":        {"linkrelay/util", "os"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if found := violations([]node{{tt.from, []string{"fmt", tt.to}}}); len(found) != 1 {
				t.Errorf("%s importing %s: %q, want one violation", tt.from, tt.to, found)
			}
		})
	}
}
