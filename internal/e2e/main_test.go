package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"linkrelay/internal/command"
)

// programVariable makes the test binary be linkrelay, for the tests that kill it.
const programVariable = "E2E_RUNS_LINKRELAY"

// transport carries every request of the tests themselves.
var transport = &http.Transport{MaxIdleConns: 1000, MaxIdleConnsPerHost: 400, IdleConnTimeout: time.Minute}

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		program()
	}
	for _, setting := range os.Environ() { // those of whoever runs the tests are not the tests'
		if name, _, _ := strings.Cut(setting, "="); strings.HasPrefix(name, "RELAY_") {
			_ = os.Unsetenv(name)
		}
	}
	code := m.Run()
	transport.CloseIdleConnections()
	faults := append(shown.find(), published.faults(code == 0 && everyTest())...)
	if err := goleak.Find(); err != nil {
		faults = append(faults, err.Error())
	}
	if len(faults) > 0 {
		fmt.Printf("FAIL: after all tests: %s\n", strings.Join(faults, "\n"))
		code = max(code, 1)
	}
	os.Exit(code)
}

// program is main.
func program() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(command.Run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
