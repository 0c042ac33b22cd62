package client_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"linkrelay/client"
)

func TestReadFrames(t *testing.T) {
	long := strings.Repeat("x", client.MaxFrame-len("data: ")-1)
	for name, c := range map[string]struct {
		in   string
		want []client.Frame
		err  string
	}{
		"two":              {"event: hello\ndata: {}\n\nevent: ping\ndata: {\"seq\":1}\n\n", []client.Frame{{"hello", []byte("{}")}, {"ping", []byte(`{"seq":1}`)}}, "EOF"},
		"crlf":             {"event: a\r\ndata: 1\r\n\r\n", []client.Frame{{"a", []byte("1")}}, "EOF"},
		"no space":         {"event:a\ndata:1\n\n", []client.Frame{{"a", []byte("1")}}, "EOF"},
		"lines joined":     {"data: 1\ndata\ndata: 3\n\n", []client.Frame{{"", []byte("1\n\n3")}}, "EOF"},
		"empty data":       {"event: a\ndata\n\n", []client.Frame{{"a", []byte{}}}, "EOF"},
		"comment, unknown": {": hi\nid: 7\nretry: 5\nevent: a\ndata: 1\n\n", []client.Frame{{"a", []byte("1")}}, "EOF"},
		"without data":     {"event: a\n\ndata: 1\n\n", []client.Frame{{"", []byte("1")}}, "EOF"},
		"unfinished":       {"event: a\ndata: 1\n\nevent: b\ndata: 2\n", []client.Frame{{"a", []byte("1")}}, "EOF"},
		"nothing":          {"", nil, "EOF"},
		"longest line":     {"data: " + long + "\n\n", []client.Frame{{"", []byte(long)}}, "EOF"},
		"line too long":    {"data: " + long + "xx\n\n", nil, "client: stream: frame is too large"},
		"frame too large":  {strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", 66), nil, "client: stream: frame is too large"},
	} {
		got, err := client.ReadFrames(strings.NewReader(c.in))
		if diff := cmp.Diff(c.want, got); diff != "" || err.Error() != c.err {
			t.Errorf("%s: error %v, frames %s", name, err, diff)
		}
	}
}

// A failing connection keeps its error, so that it can be named in a log.
func TestReadFramesError(t *testing.T) {
	broken := errors.New("wire cut")
	frames, err := client.ReadFrames(io.MultiReader(strings.NewReader("data: 1\n\ndata: 2\n"), iotest.ErrReader(broken)))
	if len(frames) != 1 || !errors.Is(err, broken) {
		t.Errorf("%v, %v", frames, err)
	}
}

// chunks hands out its bytes in pieces of random size.
type chunks struct {
	rest []byte
	rng  *rand.Rand
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.rest[:1+c.rng.IntN(min(len(c.rest), 9))])
	c.rest = c.rest[n:]
	return n, nil
}

// Whatever arrives, in whatever pieces: no panic, frames and error do not
// depend on the pieces, and frames that were read, written again, read the
// same.
func FuzzReadFrames(f *testing.F) {
	f.Add([]byte("event: hello\ndata: {}\n\nevent: ping\r\ndata: 1\r\n\r\n"), uint64(1))
	f.Add([]byte("data\ndata: \n\n:\n\ndata: x"), uint64(2))
	f.Add([]byte("event\x00: a\n\n\n\xff\ndata:\r\r\n\n"), uint64(3))
	f.Fuzz(func(t *testing.T, in []byte, seed uint64) {
		whole, err := client.ReadFrames(bytes.NewReader(in))
		pieces, err2 := client.ReadFrames(&chunks{in, rand.New(rand.NewPCG(seed, 0))})
		if diff := cmp.Diff(whole, pieces); diff != "" || err.Error() != err2.Error() {
			t.Fatalf("depends on chunks: %v, %v: %s", err, err2, diff)
		}
		var again bytes.Buffer
		for _, frame := range whole {
			again.WriteString("event: " + string(frame.Kind) + "\n")
			for line := range bytes.SplitSeq(frame.Data, []byte("\n")) {
				again.WriteString("data: " + string(line) + "\n")
			}
			again.WriteString("\n")
		}
		reread, _ := client.ReadFrames(&again)
		if diff := cmp.Diff(whole, reread); diff != "" && !bytes.Contains(in, []byte("\r")) {
			t.Fatalf("does not survive writing: %s", diff)
		}
	})
}
