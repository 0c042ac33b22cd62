package redisstore_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// fault is what a proxy does with the reply of a request.
type fault int

const (
	cut   fault = iota + 1 // Redis did it; the connection ends before its reply
	hang                   // Redis did it; its reply never comes
	never                  // Redis never sees it; the connection ends
)

// proxy stands between a store and its Redis and spoils what it is told to.
type proxy struct {
	addr    string
	target  string
	mu      sync.Mutex
	conns   map[net.Conn]bool
	marker  string
	fault   fault
	left    int    // requests with the marker still to be spoilt
	then    func() // runs once, before the first spoilt reply is lost
	rewrite *strings.Replacer
}

func newProxy(t testing.TB, url string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), target: strings.TrimPrefix(url, "redis://"), conns: map[net.Conn]bool{}, rewrite: strings.NewReplacer()}
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		for c := range p.conns {
			_ = c.Close()
		}
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

func (p *proxy) url() string { return "redis://" + p.addr }

// spoil loses the replies of the next n requests that contain the marker.
func (p *proxy) spoil(f fault, marker string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.marker, p.left = f, marker, n
}

// after has f run when the next spoilt request was done.
func (p *proxy) after(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.then = f
}

func (p *proxy) heal() { p.spoil(0, "", 0) }

// verdict is what happens to a request, and what to do before its reply is lost.
func (p *proxy) verdict(request []byte) (fault, func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 || !bytes.Contains(request, []byte(p.marker)) {
		return 0, nil
	}
	p.left--
	then := p.then
	p.then = nil
	return p.fault, then
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.conns[client], p.conns[server] = true, true
	p.mu.Unlock()
	defer func() { _, _ = client.Close(), server.Close() }()
	replies := make(chan func() bool, 64) // decides about the next reply; false ends the connection
	go p.copyReplies(client, server, replies)
	buf := make([]byte, 1<<16)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		f, then := p.verdict(buf[:n])
		if f == never {
			return
		}
		if f != 0 {
			replies <- func() bool {
				if then != nil {
					then()
				}
				return f == hang
			}
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// copyReplies passes replies on, but for those that are to be lost.
func (p *proxy) copyReplies(client, server net.Conn, lost <-chan func() bool) {
	defer func() { _, _ = client.Close(), server.Close() }()
	silent := false
	buf := make([]byte, 1<<16)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		select {
		case f := <-lost:
			if silent = f(); !silent {
				return
			}
		default:
		}
		if silent {
			continue
		}
		if _, err := io.WriteString(client, p.rewrite.Replace(string(buf[:n]))); err != nil {
			return
		}
	}
}
