package e2e_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait for something that must happen. It is long
// because machines are shared; what has to be quick is measured where it is.
const patience = 20 * time.Second

// journal is the log of one process, to be waited on.
type journal struct {
	mu    sync.Mutex
	text  []byte
	grown chan struct{} // closed at the next write
}

// newJournal returns a journal that is watched for secrets.
func newJournal() *journal {
	j := &journal{}
	shown.log(j)
	return j
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text = append(j.text, p...)
	if j.grown != nil {
		close(j.grown)
		j.grown = nil
	}
	return len(p), nil
}

func (j *journal) bytes() []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.text)
}

// more returns the text and a channel that is closed when there is more.
func (j *journal) more() ([]byte, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.grown == nil {
		j.grown = make(chan struct{})
	}
	return j.text[:len(j.text):len(j.text)], j.grown
}

// line is what these tests read of a line of a log.
type line struct {
	Level, Msg, Code, Route string
	Public, Admin           string
}

// await returns the first line with the message. ended is closed when the
// process has ended and nothing more can come.
func (j *journal) await(t *testing.T, message string, ended <-chan struct{}) line {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		text, grown := j.more()
		if l, ok := find(text, message); ok {
			return l
		}
		select {
		case <-grown:
		case <-ended:
			if l, ok := find(j.bytes(), message); ok {
				return l
			}
			t.Fatalf("the process ended before %q; log:\n%s", message, j.bytes())
		case <-limit.C:
			t.Fatalf("no %q within %v; log:\n%s", message, patience, j.bytes())
		}
	}
}

// awaitText waits for a line that has the text and one of the others: for logs
// that are not JSON.
func (j *journal) awaitText(t *testing.T, text string, others ...string) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		all, grown := j.more()
		for raw := range bytes.Lines(all) {
			for _, other := range others {
				if bytes.Contains(raw, []byte(text)) && bytes.Contains(raw, []byte(other)) {
					return
				}
			}
		}
		select {
		case <-grown:
		case <-limit.C:
			t.Fatalf("no line with %q and one of %q within %v; log:\n%s", text, others, patience, all)
		}
	}
}

func find(text []byte, message string) (line, bool) {
	for _, l := range lines(text) {
		if l.Msg == message {
			return l, true
		}
	}
	return line{}, false
}

// lines reads the whole lines of a log; what is not JSON is left out.
func lines(text []byte) []line {
	var out []line
	for raw := range bytes.Lines(text) {
		var l line
		if json.Unmarshal(raw, &l) == nil {
			out = append(out, l)
		}
	}
	return out
}

// receive returns what comes next, or fails the test: what names it.
func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case v, ok := <-from:
		if !ok {
			t.Fatalf("%s: the channel was closed", what)
		}
		return v
	case <-limit.C:
		t.Fatalf("no %s within %v", what, patience)
	}
	panic("unreachable")
}

// eventually asks again and again until the answer is yes. It is for what
// nobody tells us of, such as a replica noticing that Redis is back.
func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(patience); !yes(); <-again.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}
