package handler

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"linkrelay/relay"
)

// checkHeaderSize refuses what net/http's own limit, set higher (Server),
// would refuse in plain text.
func checkHeaderSize(c *call) error {
	r := c.g.Request
	size := len(r.Method) + len(r.RequestURI) + len(r.Host) + len("  HTTP/1.1\r\nHost: \r\n")
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
		}
	}
	if size > relay.MaxHeaderBytes {
		e := relay.NewError(relay.HeadersTooLarge, "request line and headers are too large together")
		e.Limit = relay.MaxHeaderBytes
		return e
	}
	return nil
}

// checkLinkAttempts bounds the one call that reaches the store unsigned.
// Successes count as well: nobody links that many devices at once.
func (h *Handler) checkLinkAttempts(c *call) error {
	from := client(c.ip)
	if wait := h.throttles.link.wait(from, c.at); wait > 0 {
		return throttled(wait)
	}
	h.throttles.link.charge(from, c.at)
	return nil
}

// authorize checks what this key may do. Whether it is revoked or expired the
// store decides in the step that acts (DESIGN §2.8).
func (h *Handler) authorize(c *call) error {
	forDevice := c.route.auth == deviceKey
	scope := c.route.scope
	if c.proof.Creates {
		scope = relay.ScopeJobsCreateQuery
	}
	switch {
	case forDevice && !c.cred.Device():
		return relay.NewError(relay.ScopeMissing, "this call needs a device key")
	case !forDevice && c.cred.Device():
		return relay.NewError(relay.ScopeMissing, "this call needs an API key; a device key only acts as its device")
	case !forDevice && !c.cred.Accepts(relay.Scheme(c.proof.Scheme)):
		return relay.NewError(relay.SchemeNotAllowed, "the key was created without scheme "+string(c.proof.Scheme))
	case !forDevice && !c.cred.Allows(scope):
		return relay.NewError(relay.ScopeMissing, "this call needs the scope "+string(scope))
	case !c.cred.AllowsIP(c.ip):
		return relay.NewError(relay.IPNotAllowed, "the request came from "+c.ip.String())
	}
	return nil
}

// checkRate bounds the calls of one key. Jobs that are made are bounded by the
// account's windows instead, so fetch counts only its replays (see fetch).
func (h *Handler) checkRate(c *call) error {
	key := source{}.withKey(&h.throttles, c.cred.KeyID)
	if !c.route.admits() {
		return h.throttles.calls.spend(key, c.at, "this key makes more than 200 calls a second")
	}
	if wait := h.throttles.replays.wait(key, c.at); wait > 0 {
		return rateLimited(wait, "this key repeats more than 200 requests a second")
	}
	return nil
}

// checkToken admits the operator. Both sides are hashed, so that the
// comparison takes the same time whatever length was sent.
func (h *Handler) checkToken(c *call) error {
	if h.AdminToken == "" {
		return relay.NewError(relay.NotFound, "the operator API is off: no RELAY_ADMIN_TOKEN is set")
	}
	from := client(c.ip)
	if wait := h.throttles.operator.wait(from, c.at); wait > 0 {
		return throttled(wait)
	}
	scheme, token, _ := strings.Cut(c.g.Request.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(token))
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(sum[:], h.adminToken[:]) == 0 {
		h.throttles.operator.charge(from, c.at)
		return relay.NewError(relay.Unauthorized, "")
	}
	return nil
}

// checkTokenUnlessLocal also admits a process on this machine that speaks to
// the listener directly, so that `go tool pprof`, which cannot send a token,
// works there. A forwarded request and a name in Host other than this machine's
// (a web page that had its name point here) do not count as local.
func (h *Handler) checkTokenUnlessLocal(c *call) error {
	r := c.g.Request
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if local != nil && local.IP.IsLoopback() && remoteIP(r).IsLoopback() &&
		r.Header.Get("X-Forwarded-For") == "" && r.Header.Get("Forwarded") == "" && localName(r.Host) {
		return nil
	}
	return h.checkToken(c)
}

func localName(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && ip.IsLoopback()
}
