package examples_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"linkrelay/internal/command"
)

// programVariable makes the test binary be linkrelay.
const programVariable = "EXAMPLES_RUNS_LINKRELAY"

// languages are the examples' commands, by their folders. A program that is
// missing fails the tests.
var languages = map[string][]string{
	"curl":   {"sh", "curl/linkrelay.sh"},
	"node":   {"node", "node/cli.js"},
	"php":    {"php", "php/linkrelay.php"},
	"python": {"python3", "python/linkrelay.py"},
	// go is built by TestMain: go run would hide the exit code.
}

const root = "../../examples"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		context.AfterFunc(ctx, stop)
		os.Exit(command.Run(ctx, os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(build(m))
}

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "examples")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, "linkrelay-go")
	compiler := exec.Command("go", "build", "-o", binary, "./go")
	compiler.Dir = root
	if out, err := compiler.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %v\n%s", compiler, err, out)
		return 1
	}
	languages["go"] = []string{binary}
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil { // they mostly wait
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
