package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"linkrelay/relay"
)

// helloTimeout bounds the time from dialling to the hello frame. A proxy that
// buffers the stream looks like a relay that never says hello.
const helloTimeout = 20 * time.Second

// Stream is one connection of the streaming pull. Whoever opened it must keep
// calling Next, from one goroutine, and Close it at the end. Run does all of
// that; a Stream by itself is for those who handle deliveries in their own way.
type Stream struct {
	Hello relay.Hello

	body    io.ReadCloser
	frames  *frameReader
	silence *time.Timer // ends the connection when nothing was heard for too long
	patient time.Duration
	ctx     context.Context
	cancel  context.CancelCauseFunc
}

// Open connects the stream, asking for at most Options.MaxInFlight unfinished
// deliveries, and waits for its hello. Jobs may be offered at once. The stream
// ends when ctx does.
func (d *Desktop) Open(ctx context.Context) (*Stream, error) {
	s := &Stream{}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.silence = time.AfterFunc(helloTimeout, func() { s.cancel(errors.New("client: stream: no hello in time")) })
	if err := s.connect(d.caller, d.maxInFlight); err != nil {
		err = s.failure(err)
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Stream) connect(c *caller, maxInFlight int) error {
	q := call{method: http.MethodGet, path: "/api/desktop/jobs/stream", query: url.Values{"maxInFlight": {strconv.Itoa(maxInFlight)}}}
	resp, err := c.send(s.ctx, q, nil, http.Header{ //nolint:bodyclose // Close does
		"Accept":          {"text/event-stream"},
		"Accept-Encoding": {"identity"}, // a compressor would hold frames back
	})
	if err != nil {
		return err
	}
	s.body = resp.Body
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); resp.StatusCode != http.StatusOK || kind != "text/event-stream" {
		a, err := readAnswer(resp)
		if err == nil {
			err = a.foreign()
		}
		return err
	}
	s.frames = newFrameReader(s.body)
	first, err := s.frames.next()
	if err != nil {
		return err
	}
	if first.Kind == relay.FrameBye { // refused after the headers were out
		return s.parting(first)
	}
	if first.Kind != relay.FrameHello || json.Unmarshal(first.Data, &s.Hello) != nil {
		return fmt.Errorf("client: stream: began with %.20q, not with hello", first.Kind)
	}
	s.Hello = completed(s.Hello)
	s.patient = 3 * time.Duration(s.Hello.PingSeconds) * time.Second
	s.silence.Reset(s.patient)
	return nil
}

// completed fills members that are missing or absurd with the contract's values.
func completed(h relay.Hello) relay.Hello {
	for _, m := range []struct {
		value *int
		usual int
	}{{&h.PingSeconds, 15}, {&h.LeaseSeconds, 60}, {&h.OfferSeconds, 10}} {
		if *m.value < 1 || *m.value > 3600 {
			*m.value = m.usual
		}
	}
	return h
}

// Next returns the next frame after the hello. It fails with io.EOF at the end
// of the stream, with a *ByeError for the relay's bye, and when nothing, not
// even a ping, came for three times the ping interval: that connection is dead,
// though neither end was told.
func (s *Stream) Next() (Frame, error) {
	f, err := s.frames.next()
	if err != nil {
		return Frame{}, s.failure(err)
	}
	s.silence.Reset(s.patient)
	if f.Kind == relay.FrameBye {
		return f, s.parting(f)
	}
	return f, nil
}

// Close ends the stream. It may be called from any goroutine, and again.
func (s *Stream) Close() {
	s.silence.Stop()
	s.cancel(context.Canceled)
	if s.body != nil {
		s.body.Close()
	}
}

// failure names the reason why the stream's context ended, if it did: that is
// more telling than the read error it caused.
func (s *Stream) failure(err error) error {
	if cause := context.Cause(s.ctx); cause != nil {
		return cause
	}
	return err
}

// ByeError is the relay's last frame on a stream.
type ByeError struct {
	Code       string        // CONTRACT §4: max_age, draining, device_removed, …
	RetryAfter time.Duration // how long to wait before the next connection
}

// Error implements error.
func (e *ByeError) Error() string { return "client: stream: the relay said bye: " + e.Code }

func (s *Stream) parting(f Frame) error {
	var bye relay.Bye
	if err := json.Unmarshal(f.Data, &bye); err != nil {
		return fmt.Errorf("client: stream: malformed bye: %w", err)
	}
	return &ByeError{Code: bye.Code, RetryAfter: milliseconds(bye.RetryAfterMS)}
}

// milliseconds is a pause the relay asked for, held within an hour.
func milliseconds(n int64) time.Duration {
	return time.Duration(min(max(n, 0), time.Hour.Milliseconds())) * time.Millisecond
}
