package command_test

import (
	"bytes"
	"context"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"linkrelay/internal/command"
)

func TestDemoEndsByItselfWithoutATerminal(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	if code := command.Run(ctx, []string{"demo"}, &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s%s", code, &out, &errs)
	}
	for _, want := range []string{`"finalUrl": "http://127.0.0.1:`, `"via": "meta-refresh"`, "409 Conflict, nonce_replayed", "Idempotent-Replayed: true",
		"401 Unauthorized, signature_invalid", "429 Too Many Requests, quota_exceeded", "ends here"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not show %q", want)
		}
	}
}

// TestDemoCommandsWork pastes everything the demo prints into a shell while it
// keeps running.
func TestDemoCommandsWork(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- command.RunDemo(ctx, write, true); _ = write.Close() }()
	shown := &bytes.Buffer{}
	buffer := make([]byte, 4096)
	for !strings.Contains(shown.String(), "keep running") {
		n, err := read.Read(buffer)
		if err != nil {
			t.Fatalf("%v, %v after:\n%s", err, <-ended, shown)
		}
		shown.Write(buffer[:n])
	}
	go func() { _, _ = io.Copy(io.Discard, read) }()
	wants := map[string]string{"curl and openssl": `"state":"`, "Node": "/offer/42", "operator": `"kind":"job.succeeded"`}
	for _, section := range strings.Split(shown.String(), "\n--- ")[1:] {
		title, commands, _ := strings.Cut(section, "\n")
		commands, _, _ = strings.Cut(commands, "\n-----")
		got, err := exec.CommandContext(ctx, "sh", "-ec", commands).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", title, err, got)
		}
		for name, want := range wants {
			if strings.HasPrefix(title, name) {
				delete(wants, name)
				if !bytes.Contains(got, []byte(want)) {
					t.Errorf("%s answered\n%s\nwant %s in it", title, got, want)
				}
			}
		}
	}
	if len(wants) > 0 {
		t.Errorf("not printed: %v", wants)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
