package handler_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"linkrelay/handler"
	"linkrelay/relay"
	"linkrelay/signature"
)

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkFetch is the chain of POST /api/links/fetch without network and
// store: what PERFORMANCE A1 calls bare, short of net/http.
func BenchmarkFetch(b *testing.B) {
	store := newStore()
	answer := relay.Admission{Job: relay.Job{ID: jobID, State: relay.Queued, IdempotencyKey: "k1", Source: "crm", RowID: "7", CreatedAt: time.Now()}, Windows: windows}
	store.admit = func(relay.Caller, *relay.JobRequest) (relay.Admission, error) { return answer, nil }
	h := newHandler(b, store, handler.Options{}, nil).Public()
	body := strings.NewReader(goodBody)
	r := httptest.NewRequest(http.MethodPost, "/api/links/fetch", nil)
	r.Header = platform.V1(time.Now(), signature.NewNonce(), []byte(goodBody))
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength, r.Body = int64(len(goodBody)), io.NopCloser(body)
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(goodBody)
		h.ServeHTTP(discard{http.Header{}}, r)
	}
}
