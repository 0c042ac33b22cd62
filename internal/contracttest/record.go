package contracttest

import (
	"bytes"
	"io"
	"net/http"
	"sync"
)

// most is how much of an answer is kept: a stream may go on for long.
const most = 4 << 20

// Recorder is a transport that hands every exchange to Done when its answer was
// read or given up. Exchanges that got no answer are left out.
type Recorder struct {
	http.RoundTripper
	Done func(*http.Request, *Exchange)
}

// RoundTrip implements http.RoundTripper.
func (r Recorder) RoundTrip(q *http.Request) (*http.Response, error) {
	e := &Exchange{Method: q.Method, Target: q.URL.RequestURI(), Request: q.Header.Clone()}
	if q.GetBody != nil {
		body, err := q.GetBody()
		if err != nil {
			return nil, err
		}
		if e.RequestBody, err = io.ReadAll(body); err != nil {
			return nil, err
		}
	}
	resp, err := r.RoundTripper.RoundTrip(q)
	if err != nil {
		return nil, err
	}
	e.Status, e.Answer = resp.StatusCode, resp.Header.Clone()
	b := &recorded{ReadCloser: resp.Body}
	b.end = sync.OnceFunc(func() {
		e.AnswerBody, e.Whole = b.text.Bytes(), b.whole
		r.Done(q, e)
	})
	resp.Body = b
	return resp, nil
}

// recorded keeps what is read of an answer. A stream is closed by another
// goroutine than the one that reads it.
type recorded struct {
	io.ReadCloser
	end func()

	mu    sync.Mutex
	text  bytes.Buffer
	whole bool
}

func (b *recorded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.Write(p[:max(0, min(n, most-b.text.Len()))])
	if err == io.EOF {
		b.whole = b.text.Len() < most
		b.end()
	}
	return n, err
}

func (b *recorded) Close() error {
	err := b.ReadCloser.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end()
	return err
}
