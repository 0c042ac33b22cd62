package command_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"linkrelay/internal/command"
)

// environment replaces every RELAY_ variable for the time of a test.
func environment(t *testing.T, set map[string]string) {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "RELAY_") {
			t.Setenv(name, value) // puts it back afterwards
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, value := range set {
		t.Setenv(name, value)
	}
}

// linkrelay runs a command line and returns what it printed and its exit code.
func linkrelay(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = command.Run(t.Context(), args, &out, &errs)
	return out.String(), errs.String(), code
}

func TestUsage(t *testing.T) {
	environment(t, map[string]string{"RELAY_ADMIN_TOKEN": token, "RELAY_ADMIN_URL": "http://127.0.0.1:1"})
	const job = "job_0123456789ABCDEFabc"
	tests := map[string]struct {
		args   string
		stderr string
	}{
		"unknown command":       {"serv", `"serv" is not a command of "linkrelay"`},
		"mistyped command":      {"acount show a", `did you mean "account"?`},
		"mistyped subcommand":   {"account shwo a", `did you mean "show"?`},
		"unknown flag":          {"version --loud", "unknown flag: --loud"},
		"bad flag value":        {"account create --per-day many", "invalid argument"},
		"argument too many":     {"version now", "takes no arguments, and 1 arguments were given"},
		"argument missing":      {"account show", "takes ACCOUNT, and 0"},
		"one of two missing":    {"job drop a", "takes ACCOUNT and JOB, and 1"},
		"account id":            {"account show a/../b", "ACCOUNT must be"},
		"account id of a job":   {"job drop -- -a " + job, "ACCOUNT must be"},
		"job id":                {"job redrive a ../x", "JOB must be a job id"},
		"nothing to change":     {"account update a", "nothing to change"},
		"negative limit":        {"account create --max-keys=-1", "--max-keys must be 0 or more"},
		"end without a state":   {"account create --ends-at 2030-01-01T00:00:00Z", "--ends-at needs --membership"},
		"end that is no time":   {"account update a --membership active --ends-at tomorrow", "--ends-at must be a time"},
		"code valid too long":   {"account link-code a --ttl 48h", "--ttl must be between 1m0s and 24h0m0s"},
		"admin URL with a user": {"account show a --admin-url http://u:p@h", "--admin-url must be"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := linkrelay(t, strings.Fields(tt.args)...)
			if code != 2 || !strings.Contains(stderr, tt.stderr) || stdout != "" {
				t.Errorf("linkrelay %s: exit %d, stdout %q, stderr %q; want exit 2 and …%s…", tt.args, code, stdout, stderr, tt.stderr)
			}
		})
	}
}

func TestHelpNamesEveryCommand(t *testing.T) {
	stdout, stderr, code := linkrelay(t)
	if code != 0 || stderr != "" {
		t.Fatalf("linkrelay: exit %d, stderr %q", code, stderr)
	}
	for _, name := range []string{"serve", "version", "account", "device", "key", "job", "sign"} {
		if !strings.Contains(stdout, "\n  "+name+" ") {
			t.Errorf("%s is missing from the help:\n%s", name, stdout)
		}
	}
}

func TestVersion(t *testing.T) {
	stdout, _, code := linkrelay(t, "version")
	if code != 0 || !strings.HasPrefix(stdout, "linkrelay ") || !strings.Contains(stdout, " go1.") {
		t.Errorf("exit %d, %q; want the build and its Go version", code, stdout)
	}
}
