package examples_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each language's own tools find nothing wrong.
func TestSources(t *testing.T) {
	t.Parallel()
	for pattern, command := range map[string][]string{
		"node/*.js":   {"node", "--check"},
		"php/*.php":   {"php", "-l"},
		"python/*.py": {"python3", "-c", "import ast, sys; ast.parse(open(sys.argv[1]).read(), feature_version=(3, 8))"},
		"curl/*.sh":   {"sh", "-n"},
	} {
		t.Run(pattern, func(t *testing.T) {
			t.Parallel()
			files, err := filepath.Glob(filepath.Join(root, pattern))
			if err != nil || len(files) == 0 {
				t.Fatalf("no files (%v)", err)
			}
			for _, file := range files {
				run(t, ".", append(slices.Clone(command), file)...)
			}
		})
	}
}

func TestShellcheck(t *testing.T) {
	t.Parallel()
	run(t, filepath.Join(root, "curl"), "shellcheck", "-x", "linkrelay.sh", "test_vectors.sh")
}

// run runs a command that must succeed, and returns what it printed.
func run(t *testing.T, dir string, command ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), command[0], command[1:]...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// manifest is what matters here of package.json.
type manifest struct {
	Name    string
	Exports map[string]struct{ Types, Default string }
	Bin     map[string]string
	Files   []string
}

// The Node package, installed as npm would install it, is used by a TypeScript
// program: every member of a published type is there, mistakes are found, and
// what was compiled runs.
func TestNodeTypes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	installed := filepath.Join(dir, "node_modules", "linkrelay-client")
	m := install(t, installed)
	for _, e := range m.Exports {
		for _, file := range []string{e.Types, e.Default, m.Bin[m.Name]} {
			if _, err := os.Stat(filepath.Join(installed, file)); err != nil {
				t.Error(err)
			}
		}
	}
	for _, file := range []string{"types.ts", "tsconfig.json"} {
		copyFile(t, filepath.Join(root, "node", "test", file), filepath.Join(dir, file))
	}
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"type": "module"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "tsc", "--project", ".")
	run(t, dir, "node", "types.js")
}

// install copies what npm would pack.
func install(t *testing.T, to string) (m manifest) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "node", "package.json"))
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err == nil {
		err = os.MkdirAll(to, 0o700)
	}
	if err != nil || len(m.Exports) == 0 || len(m.Bin) != 1 {
		t.Fatalf("package.json: %v, %+v", err, m)
	}
	for _, pattern := range append(m.Files, "package.json") {
		files, err := filepath.Glob(filepath.Join(root, "node", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s (%v)", pattern, err)
		}
		for _, file := range files {
			copyFile(t, file, filepath.Join(to, filepath.Base(file)))
		}
	}
	return m
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The hand-written types have the members of openapi.json.
func TestNodeTypesAgreeWithTheRelay(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../handler/docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var spec struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]json.RawMessage
				Required   []string
			}
		}
	}
	if err := json.Unmarshal(text, &spec); err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]struct{ file, schema string }{
		"Job": {"index", "Job"}, "Verification": {"index", "Verification"}, "Window": {"index", "Window"},
		"Quota": {"index", "Quota"}, "ProblemDocument": {"index", "Problem"}, "Delivery": {"desktop", "JobFrame"},
	} {
		schema := spec.Components.Schemas[in.schema]
		want := map[string]bool{} // name → required
		for property := range schema.Properties {
			// A problem of something on the way to the relay has only these two.
			want[property] = slices.Contains(schema.Required, property) && (name != "ProblemDocument" || property == "code" || property == "detail")
		}
		if diff := cmp.Diff(want, members(t, in.file, name)); diff != "" {
			t.Errorf("%s (-openapi.json +%s.d.ts):\n%s", name, in.file, diff)
		}
	}
}

// members reads the members of an interface, and whether each is required.
func members(t *testing.T, file, name string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "node", file+".d.ts"))
	if err != nil {
		t.Fatal(err)
	}
	body := regexp.MustCompile(`(?ms)^export interface ` + name + `\b.*?^}`).Find(text)
	all := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^  (\w+)(\??):`).FindAllStringSubmatch(string(body), -1) {
		all[m[1]] = m[2] == ""
	}
	return all
}
