package redistest

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"linkrelay/internal/embedded"
)

// Both runs a package's tests with a real and an embedded server at hand; use
// gets their addresses by the names "redis" and "embedded". For TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(redistest.Both(m, func(urls map[string]string) error { … })) }
func Both(m *testing.M, use func(urls map[string]string) error) int {
	dir, err := os.MkdirTemp("", "redistest")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	server, err1 := Run(dir)
	mini, err2 := embedded.Start()
	if err := errors.Join(err1, err2); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer server.Kill()
	defer mini.Close()
	if err := use(map[string]string{"redis": server.URL(), "embedded": mini.URL()}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
