package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"linkrelay/relay"
)

// AnswerError is an answer that is not the relay's own: a proxy's error page,
// a redirect, a captive portal, or text where JSON belongs.
type AnswerError struct {
	Status      int
	ContentType string
	Text        string // the beginning of the body, printable, at most 300 characters
}

// Error implements error.
func (e *AnswerError) Error() string {
	return fmt.Sprintf("client: answer is not the relay's: status %d, %s: %q", e.Status, e.ContentType, e.Text)
}

// answer is a whole answer of the relay.
type answer struct {
	status int
	header http.Header
	body   []byte
	tries  int // attempts it took
}

// readAnswer reads a whole answer of at most maxAnswer bytes. A refusal is
// returned as an error.
func readAnswer(resp *http.Response) (answer, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return answer{}, fmt.Errorf("client: read answer: %w", err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: body}
	switch {
	case len(body) > maxAnswer, resp.StatusCode >= 300 && resp.StatusCode < 400:
		return a, a.foreign()
	case resp.StatusCode >= 400:
		return a, a.refusal()
	}
	return a, nil
}

// decode reads the answer's JSON into out, unless out is nil. Members it does
// not know are skipped: a newer relay may send more.
func (a answer) decode(out any) error {
	if out == nil {
		return nil
	}
	if json.Unmarshal(a.body, out) != nil {
		return a.foreign()
	}
	return nil
}

// refusal returns the relay's problem document (RFC 9457, CONTRACT §5), or an
// *AnswerError when the body is not one. The code is the relay's word; status
// comes from the wire, and what an older relay left out from the catalogue.
func (a answer) refusal() error {
	kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	var e relay.Error
	if kind != "application/problem+json" || json.Unmarshal(a.body, &e) != nil || e.Code == "" {
		return a.foreign()
	}
	e.Status = a.status
	e.RetryAfter = retryAfter(a.header, time.Now())
	if e.RequestID == "" {
		e.RequestID = a.header.Get("X-Request-Id")
	}
	if known := relay.NewError(e.Code, ""); known.Code == e.Code && e.Title == "" {
		e.Title, e.Type, e.Retryable = known.Title, known.Type, known.Retryable
	}
	return &e
}

func (a answer) foreign() error {
	text := relay.OneLine(string(a.body[:min(len(a.body), 1200)]), 300)
	return &AnswerError{Status: a.status, ContentType: a.header.Get("Content-Type"), Text: text}
}

// statusOf returns the HTTP status an error reports, or 0.
func statusOf(err error) int {
	if e, ok := errors.AsType[*relay.Error](err); ok {
		return e.Status
	}
	if e, ok := errors.AsType[*AnswerError](err); ok {
		return e.Status
	}
	return 0
}

// retryAfter reads Retry-After (RFC 9110 §10.2.3): seconds or a date; 0 if
// there is none that makes sense.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		return max(0, time.Duration(n)*time.Second)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
