package config_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"linkrelay/config"
)

//go:generate go test -run TestReadmeSettings . -update

var update = flag.Bool("update", false, "rewrite the settings table of the README")

const (
	readme = "../README.md"
	begin  = "<!-- settings:begin -->\n"
	end    = "<!-- settings:end -->"
)

func TestReadmeSettings(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, foundBegin := strings.Cut(string(text), begin)
	table, after, foundEnd := strings.Cut(rest, end)
	if !foundBegin || !foundEnd {
		t.Fatalf("README.md must hold the lines %q and %q", begin, end)
	}
	if table == config.Table() {
		return
	}
	if !*update {
		t.Fatalf("the settings table of README.md is not the one of config.Config: run make docs\n got:\n%s\nwant:\n%s", table, config.Table())
	}
	if err := os.WriteFile(readme, []byte(before+begin+config.Table()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestEverySettingIsDocumented(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range config.Settings() {
		if !strings.HasPrefix(s.Name, "RELAY_") || seen[s.Name] {
			t.Errorf("%q is not a name of ours, or is there twice", s.Name)
		}
		if !strings.HasSuffix(s.Desc, ".") {
			t.Errorf("%s is documented by %q, which is not a sentence", s.Name, s.Desc)
		}
		seen[s.Name] = true
	}
	for _, name := range []string{"LISTEN", "ADMIN_LISTEN", "ADMIN_TOKEN", "REDIS_URL", "EMBEDDED", "SECRET_KEYS", "MAX_SKEW", "DURABILITY",
		"ALLOW_PRIVATE_TARGETS", "TRUSTED_PROXIES", "PLANS_FILE", "LEASE", "OFFER", "MAX_ATTEMPTS", "DRAIN", "LOG_LEVEL"} {
		if !seen["RELAY_"+name] {
			t.Errorf("RELAY_%s of CONTRACT §7 is missing", name)
		}
	}
}
