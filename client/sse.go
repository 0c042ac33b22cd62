package client

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"linkrelay/relay"
)

// maxFrame bounds a line and the data of one frame, in bytes. The largest is a
// job frame: a tracking URL of 4 KiB, escaped, and a context of 4 KiB.
const maxFrame = 64 << 10

var errFrameTooLarge = errors.New("client: stream: frame is too large")

// Frame is one frame of the desktop stream (CONTRACT §4). Data is its JSON as
// it arrived.
type Frame struct {
	Kind relay.FrameKind
	Data []byte
}

// frameReader reads server-sent events (WHATWG HTML §9.2.6) as far as the
// relay uses them: lines end with LF or CRLF, and the fields event and data
// count. Comments and other fields are skipped, and so is an event without data.
type frameReader struct{ lines *bufio.Scanner }

func newFrameReader(r io.Reader) *frameReader {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxFrame) // starts small and grows: most streams only ever carry pings
	return &frameReader{s}
}

// next returns the next frame. At the end of the stream it returns io.EOF; an
// event that was not ended by an empty line is dropped, as the standard says.
func (f *frameReader) next() (Frame, error) {
	var kind string
	var data []byte
	for f.lines.Scan() {
		line := f.lines.Bytes()
		if len(line) == 0 {
			if data != nil {
				return Frame{Kind: relay.FrameKind(kind), Data: data}, nil
			}
			kind = ""
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			kind = string(value)
		case "data":
			if data == nil {
				data = make([]byte, 0, len(value))
			} else {
				data = append(data, '\n')
			}
			if len(data)+len(value) > maxFrame {
				return Frame{}, errFrameTooLarge
			}
			data = append(data, value...)
		}
	}
	switch err := f.lines.Err(); {
	case err == nil:
		return Frame{}, io.EOF
	case errors.Is(err, bufio.ErrTooLong):
		return Frame{}, errFrameTooLarge
	default:
		return Frame{}, fmt.Errorf("client: stream: %w", err)
	}
}
