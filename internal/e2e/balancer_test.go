package e2e_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// balancer sends each request to the next replica that says it is ready, as a
// load balancer with health checks does.
type balancer struct {
	*httptest.Server
	t        *testing.T
	replicas []*replica
	next     atomic.Uint64
	streams  chan *replica // where each desktop stream went
}

func newBalancer(t *testing.T, replicas ...*replica) *balancer {
	b := &balancer{t: t, replicas: replicas, streams: make(chan *replica, 100)}
	proxy := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // desktops hang up
		Rewrite: func(r *httputil.ProxyRequest) {
			chosen := b.choose()
			if strings.HasPrefix(r.In.URL.Path, "/api/desktop/jobs/stream") {
				b.streams <- chosen
			}
			to, err := url.Parse(chosen.public)
			if err != nil {
				t.Error(err)
			}
			r.SetURL(to)
		},
	}
	b.Server = httptest.NewServer(proxy)
	t.Cleanup(b.Close)
	return b
}

// choose returns the next ready replica.
func (b *balancer) choose() *replica {
	var answers []string
	first := int(b.next.Add(1))
	for i := range b.replicas {
		r := b.replicas[(first+i)%len(b.replicas)]
		resp, err := (&http.Client{Transport: transport}).Get(r.public + "/readyz")
		if err != nil {
			answers = append(answers, err.Error())
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return r
		}
		answers = append(answers, string(body))
	}
	b.t.Errorf("no replica is ready: %q", answers)
	return b.replicas[0]
}
