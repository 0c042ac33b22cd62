package resolve

import (
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"net/url"
	"time"
)

// Allow replaces the decision of the guard, so that a test can let one
// loopback address stand for a public one.
func (r *Resolver) Allow(allow func(netip.AddrPort) bool) { r.allow = allow }

// Trust replaces the certificate authorities.
func (r *Resolver) Trust(roots *x509.CertPool) { r.transport = r.newTransport(roots) }

// Dial replaces how connections are made, guard included.
func (r *Resolver) Dial(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	r.transport.DialContext = dial
}

func ParseRefresh(s string) (delay time.Duration, target string, ok bool) {
	r, ok := parseRefresh(s)
	return r.delay, r.target, ok
}

func Locate(base *url.URL, raw string) (*url.URL, error) {
	u, fault := locate(base, raw)
	if fault != nil {
		return nil, fault
	}
	return u, nil
}

func RetryAfter(value string, now time.Time) time.Duration { return retryAfter(value, now) }

func Fit(r Result) Result { return r.fit() }
