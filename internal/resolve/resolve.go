package resolve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"linkrelay/relay"
)

// Defaults and bounds of [Options].
const (
	DefaultMaxHops    = 20
	LimitMaxHops      = 50 // so that a result fits into relay.MaxResult
	DefaultHopTimeout = 10 * time.Second
	DefaultTimeout    = 45 * time.Second // less than the default lease
	DefaultUserAgent  = "linkrelay-desktop/1.0 (tracking-link resolver)"
)

// maxHeaderBytes bounds the headers of one answer. Policies and cookies make
// honest ones reach 20 KiB.
const maxHeaderBytes = 64 << 10

// Options tune a Resolver; the zero value is ready for use.
type Options struct {
	MaxHops      int           // redirects followed; 0 means DefaultMaxHops, more than LimitMaxHops means that
	HopTimeout   time.Duration // for one request with its look-up and handshake; 0 means DefaultHopTimeout
	Timeout      time.Duration // for the whole resolution; 0 means DefaultTimeout
	UserAgent    string        // "" means DefaultUserAgent
	AllowPrivate bool          // also connect to addresses that are not public; for development only
}

// Resolver resolves tracking links. It holds no state between resolutions and
// is safe for concurrent use.
type Resolver struct {
	maxHops    int
	hopTimeout time.Duration
	timeout    time.Duration
	userAgent  string
	allow      func(netip.AddrPort) bool
	transport  *http.Transport
}

// New returns a Resolver.
func New(o Options) *Resolver {
	r := &Resolver{
		maxHops:    min(orDefault(o.MaxHops, DefaultMaxHops), LimitMaxHops),
		hopTimeout: orDefault(o.HopTimeout, DefaultHopTimeout),
		timeout:    orDefault(o.Timeout, DefaultTimeout),
		userAgent:  orDefault(o.UserAgent, DefaultUserAgent),
		allow:      func(a netip.AddrPort) bool { return o.AllowPrivate || relay.PublicAddr(a.Addr()) },
	}
	r.transport = r.newTransport(nil)
	return r
}

func orDefault[T int | time.Duration | string](value, otherwise T) T {
	var zero T
	if value <= zero {
		return otherwise
	}
	return value
}

// newTransport returns the transport of all requests. roots is nil for the
// system's certificate authorities.
func (r *Resolver) newTransport(roots *x509.CertPool) *http.Transport {
	dialer := &net.Dialer{Timeout: r.hopTimeout, ControlContext: r.guard}
	return &http.Transport{
		// A proxy, also one from the environment, would do the connecting in
		// our place, where the guard cannot see the address.
		Proxy:       nil,
		DialContext: dialer.DialContext,

		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    r.hopTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,

		// Bodies are searched as they come: nothing that is small on the wire
		// can be large here.
		DisableCompression: true,

		// A redirect's body is not read, so its connection could hardly be
		// used again; and nothing is left open after a resolution.
		DisableKeepAlives: true,
	}
}

// guard refuses to connect to an address that is not public. It runs after the
// name was looked up, on the very address about to be connected to, for each
// one tried: a name that resolves differently the second time cannot pass it.
func (r *Resolver) guard(_ context.Context, _, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || !r.allow(a) {
		return errNotPublic
	}
	return nil
}

// Resolve follows the link and returns where it ends. Every error is an
// [*Error]; the Result then still tells the hops made until it happened.
func (r *Resolver) Resolve(ctx context.Context, rawURL string) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	t := newTrail(r)
	if fault := t.follow(ctx, rawURL); fault != nil {
		return t.result.fit(), fault
	}
	return t.result.fit(), nil
}

// answer is what a page said about where to go.
type answer struct {
	status   int
	wait     time.Duration // its Retry-After
	via      Via           // "" when it leads nowhere
	location string        // as sent
	page     *url.URL      // that was requested
	base     *url.URL      // what location is relative to: the page, unless it says otherwise
}

// fetch requests u and reads as much as is needed to know where it leads. The
// answer's status is set as soon as it is known, even when an error follows.
func (t *trail) fetch(ctx context.Context, u *url.URL) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, t.hopTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("User-Agent", t.userAgent)
	req.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	for _, c := range t.jar.Cookies(u) {
		req.AddCookie(c)
	}
	// The transport, not a http.Client: that would fail on Locations which a
	// browser accepts, and send user-info and Referer of its own accord.
	resp, err := t.transport.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }() // what is not read is not wanted
	t.jar.SetCookies(u, resp.Cookies())
	a := answer{
		status: resp.StatusCode,
		wait:   retryAfter(resp.Header.Get("Retry-After"), time.Now()),
		page:   u,
		base:   u,
	}
	err = a.read(resp)
	return a, err
}

// read finds where the response leads (see the package comment).
func (a *answer) read(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return a.readLocation(resp.Header.Values("Location"))
	case http.StatusOK:
		if r, ok := parseRefresh(resp.Header.Get("Refresh")); ok {
			a.set(ViaRefresh, r)
			return nil
		}
		if isPlainHTML(resp.Header) {
			return a.readMeta(resp)
		}
	}
	return nil
}

func (a *answer) readLocation(values []string) error {
	for _, v := range values {
		if v != values[0] {
			return badLocation("the server sent several different Location headers")
		}
		if v != "" {
			a.via, a.location = ViaHTTP, v
		}
	}
	return nil
}

func (a *answer) readMeta(resp *http.Response) error {
	r, base, found, err := findMeta(resp.Body)
	if err != nil || !found {
		return err
	}
	if b, fault := locate(a.base, base); base != "" && fault == nil {
		a.base = b
	}
	a.set(ViaMeta, r)
	return nil
}

func (a *answer) set(via Via, r refresh) {
	if !r.leadsOn() {
		return
	}
	a.via, a.location = via, r.target
	if a.location == "" {
		a.location = a.page.String()
	}
}
