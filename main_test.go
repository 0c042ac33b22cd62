package main

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestMain lets the test binary be the program, for tests that need a process.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_RUNS_MAIN") == "1" {
		main()
	}
	os.Exit(m.Run())
}

// program starts `linkrelay serve` on the embedded store; its log is read line by line.
func program(t *testing.T) (process *exec.Cmd, log *bufio.Reader) {
	t.Helper()
	process = exec.Command(os.Args[0], "serve")
	process.Env = []string{"TEST_RUNS_MAIN=1", "RELAY_EMBEDDED=true", "RELAY_LISTEN=127.0.0.1:0", "RELAY_ADMIN_LISTEN=127.0.0.1:0"}
	stderr, err := process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Process.Kill() })
	return process, bufio.NewReader(stderr)
}

// logged reads the log up to the line with the message.
func logged(t *testing.T, log *bufio.Reader, message string) string {
	t.Helper()
	for {
		line, err := log.ReadString('\n')
		if err != nil {
			t.Fatalf("the log ended before %q: %v", message, err)
		}
		if strings.Contains(line, `"msg":"`+message+`"`) {
			return line
		}
	}
}

func TestSignalEndsInGoodOrder(t *testing.T) {
	process, log := program(t)
	logged(t, log, "serving")
	if err := process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	logged(t, log, "stopped")
	_, _ = io.Copy(io.Discard, log)
	if err := process.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v, want exit 0", err)
	}
}

// A request that is not finished keeps the first signal's drain waiting; the
// second signal ends the process at once.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	process, log := program(t)
	line := logged(t, log, "serving")
	_, rest, _ := strings.Cut(line, `"public":"`)
	address, _, _ := strings.Cut(rest, `"`)
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if _, err := io.WriteString(connection, "POST /api/desktop/link HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\n"+
		"Content-Length: 20\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	// The relay asks for the body, so it is waiting for it.
	if answer, err := bufio.NewReader(connection).ReadString('\n'); err != nil || !strings.Contains(answer, " 100 ") {
		t.Fatalf("%q, %v; want 100 Continue", answer, err)
	}
	if err := process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	logged(t, log, "draining")
	if err := process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, log)
	_ = process.Wait()
	if status, ok := process.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("after the second SIGTERM: %v, want the signal's own end", process.ProcessState)
	}
}
