package examples_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Every example makes the signature of every valid vector. Its own test counts
// them, for a test that reads no vectors passes as well.
func TestVectors(t *testing.T) {
	t.Parallel()
	var counts []string
	for _, scheme := range []string{"link-peeler", "iklim", "signed-query"} {
		counts = append(counts, fmt.Sprintf("%s: %d signatures\n", scheme, valid(t, "../../signature/testdata/"+scheme+".json")))
	}
	for language, command := range map[string][]string{
		"curl":   {"sh", "test_vectors.sh"},
		"go":     {"go", "test", "-v", "-count=1", "-run", "TestVectors", "."},
		"node":   {"node", "--test", "test/vectors.test.js", "test/frames.test.js"},
		"php":    {"php", "test_vectors.php"},
		"python": {"python3", "-B", "test_vectors.py"},
	} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			c := exec.CommandContext(t.Context(), command[0], command[1:]...)
			c.Dir = root + "/" + language
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", command, err, out)
			}
			for _, count := range counts {
				if !strings.Contains(string(out), count) {
					t.Errorf("%s does not say %q:\n%s", command, count, out)
				}
			}
		})
	}
}

// valid counts the valid vectors of a file.
func valid(t *testing.T, path string) (n int) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []struct{ Valid bool } }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, v := range file.Vectors {
		if v.Valid {
			n++
		}
	}
	if n == 0 {
		t.Fatalf("%s has no valid vectors", path)
	}
	return n
}
