package command_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"linkrelay/internal/command"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// get sends a request on a connection of its own and returns the body.
func get(t *testing.T, url string) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

// A request that is under way when the replica is told to stop is answered in
// full; during the notice new ones are served too, and afterwards none.
func TestStopLosesNoRequest(t *testing.T) {
	began, release, drained := make(chan struct{}), make(chan struct{}), make(chan struct{})
	surface := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(began)
			<-release
		}
		_, _ = io.WriteString(w, "answered")
	})
	url, run, err := command.Replica(t.Context(), surface, func() { close(drained) }, 300*time.Millisecond, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended, slow := make(chan error, 1), make(chan string, 1)
	go func() { ended <- run(ctx) }()
	go func() {
		body, err := get(t, url+"/slow")
		if err != nil {
			body = err.Error()
		}
		slow <- body
	}()
	<-began
	stop()
	<-drained
	if body, err := get(t, url); body != "answered" || err != nil {
		t.Errorf("during the notice: %q, %v; whoever balances load has not seen the drain yet", body, err)
	}
	select {
	case err := <-ended:
		t.Fatalf("the replica ended before its request: %v", err)
	case <-time.After(400 * time.Millisecond): // the notice is over
	}
	if _, err := get(t, url); err == nil {
		t.Error("a request was accepted after the notice")
	}
	close(release)
	if body := <-slow; body != "answered" {
		t.Errorf("the request under way got %q", body)
	}
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
}

// A request that does not end is cancelled when the drain's time is over.
func TestDrainIsBounded(t *testing.T) {
	began, cancelled := make(chan struct{}), make(chan struct{})
	surface := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(cancelled)
	})
	url, run, err := command.Replica(t.Context(), surface, func() {}, 0, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended, asked := make(chan error, 1), make(chan struct{})
	go func() { ended <- run(ctx) }()
	go func() {
		defer close(asked)
		_, _ = get(t, url) // whether it sees an empty answer or a cut one is a race
	}()
	<-began
	stop()
	<-cancelled
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
	<-asked
}
