package client

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"linkrelay/relay"
	"linkrelay/signature"
)

// ErrOptions is in the chain of every error about Options: no call was made.
var ErrOptions = errors.New("client: options")

// Options say which relay to call, as whom, and how patiently.
type Options struct {
	BaseURL string // scheme, host and optional port of the relay: the path is signed, so it may not have one
	KeyID   string // lp_live_… or lp_test_… for a platform, lp_device_… for a desktop
	Secret  string // the text shown when the key was created; used as it is, never decoded

	// HTTPClient sends the calls; nil means one of our own with timeouts for
	// dialling, TLS and response headers. Its Transport is used; redirects are
	// never followed (a signature covers the path) and its Timeout is ignored
	// (it would cut streams; every call has its own).
	HTTPClient *http.Client

	// Logger receives what happens between the calls: retries, reconnects,
	// deliveries. No secret, lease or tracking URL is ever logged. Nil is silence.
	Logger *slog.Logger

	Attempts int     // how often one call is tried in all; 0 means 6, 1 means no retry
	Backoff  Backoff // between those attempts; zero members mean 200 ms and 10 s

	// WaitOnLimit makes a platform's call that the relay answered 429 wait as long
	// as Retry-After says, as often as it takes, while the context lives. A wait
	// that would outlast the context's deadline is not begun. Without it, a 429
	// is returned at once.
	WaitOnLimit bool

	// For desktops.
	MaxInFlight int           // deliveries worked on at once; 0 means relay.DefaultInFlight
	Grace       time.Duration // what running handlers get to finish when Run is stopped; 0 means 20 s, negative none
	Reconnect   Backoff       // between stream connections; zero members mean 1 s and 30 s
}

const (
	defaultAttempts = 6
	defaultGrace    = 20 * time.Second

	dialTimeout   = 10 * time.Second
	tlsTimeout    = 10 * time.Second
	answerTimeout = 15 * time.Second // for a whole attempt, besides what the relay was asked to wait
	headerTimeout = relay.MaxWait + answerTimeout

	maxAnswer     = 1 << 20 // bytes; the largest answer is a job with its result, some 70 KiB
	maxPause      = time.Minute
	maxServerWait = relay.MaxWait
)

// newCaller checks the options every kind of client shares.
func newCaller(o Options) (*caller, error) {
	base, err := parseBase(o.BaseURL)
	if err != nil {
		return nil, err
	}
	if _, ok := signature.ParseKeyID(o.KeyID); !ok {
		return nil, fmt.Errorf("%w: KeyID is not a key id of the relay; was it copied whole?", ErrOptions)
	}
	if !signature.ValidSecret(o.Secret) {
		return nil, fmt.Errorf("%w: Secret is not a secret of the relay; was it copied whole?", ErrOptions)
	}
	c := unsignedCaller(base, o.HTTPClient)
	c.signer = signature.Signer{KeyID: o.KeyID, Secret: o.Secret}
	c.waitOnLimit = o.WaitOnLimit
	c.backoff = o.Backoff.or(200*time.Millisecond, 10*time.Second)
	if o.Attempts > 0 {
		c.attempts = o.Attempts
	}
	if o.Logger != nil {
		c.log = o.Logger
	}
	return c, nil
}

// unsignedCaller returns a caller with no key, which calls once and silently.
func unsignedCaller(base *url.URL, h *http.Client) *caller {
	return &caller{base: base, http: prepare(h), log: slog.New(slog.DiscardHandler), attempts: defaultAttempts}
}

func parseBase(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: BaseURL is not a URL", ErrOptions)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("%w: BaseURL must be an http or https URL with a host", ErrOptions)
	case u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%w: BaseURL must be scheme and host alone: no path, query, user or fragment", ErrOptions)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// prepare returns the caller's HTTP client, or one of our own, with what
// signed calls and streams need.
func prepare(h *http.Client) *http.Client {
	if h == nil {
		h = &http.Client{Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           100,
			MaxIdleConnsPerHost:    100,
			IdleConnTimeout:        90 * time.Second,
			TLSHandshakeTimeout:    tlsTimeout,
			ResponseHeaderTimeout:  headerTimeout,
			ExpectContinueTimeout:  time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		}}
	}
	own := *h
	own.Timeout = 0
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

func kindError(want string) error {
	return fmt.Errorf("%w: KeyID is not the key of a %s", ErrOptions, want)
}
