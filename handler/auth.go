package handler

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"linkrelay/relay"
	"linkrelay/signature"
)

// credentialStore finds what verifies a signature.
type credentialStore interface {
	// Credential returns relay.ErrUnknownKey when no key has the id.
	Credential(ctx context.Context, keyID string) (*relay.Credential, error)
	// Used counts a request that the credential's i-th secret verified.
	Used(c *relay.Credential, i int, at time.Time)
}

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

// checkThrottle refuses callers that failed too often, before anything of
// theirs is looked at. It reads memory only.
func (h *Handler) checkThrottle(c *call) error {
	var keyID string
	if v := c.g.Request.Header[signature.HeaderKey]; len(v) > 0 {
		keyID = v[0]
	}
	t, from := &h.throttles, client(c.ip)
	if wait := t.failures.wait(from.withKey(t, keyID), c.at); wait > 0 {
		return throttled(wait)
	}
	if wait := t.unknown.wait(from, c.at); wait > 0 {
		if _, known := t.verified.get(source{}.withKey(t, keyID)); !known {
			return throttled(wait)
		}
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

var headerCodes = map[signature.HeaderFault]relay.Code{
	signature.Missing:    relay.HeaderMissing,
	signature.Malformed:  relay.HeaderMalformed,
	signature.Duplicated: relay.HeaderDuplicated,
}

// parseProof reads the signature headers.
func parseProof(c *call) error {
	proof, fault := signature.ParseLinkPeeler(c.g.Request.Header)
	if fault != nil {
		return headerError(headerCodes[fault.Kind], fault.Header, fault.Reason)
	}
	if proof.V1 && !c.route.v1 {
		return headerError(relay.HeaderMalformed, signature.HeaderSignature, "must be a v2 value for this call: v2= followed by 64 hex digits; v1 is for POST /api/links/fetch only")
	}
	c.proof = proof
	return nil
}

func headerError(code relay.Code, header, reason string) error {
	e := relay.NewError(code, header+" "+reason)
	e.Header = header
	return e
}

// checkSkew compares the timestamp with the clock as it was when the headers
// arrived: a slow body does not make a request stale.
func (h *Handler) checkSkew(c *call) error {
	if signature.Fresh(c.proof.Timestamp, c.at, h.MaxSkew) {
		return nil
	}
	e := relay.NewError(relay.TimestampOutOfWindow, "compare receivedTimestamp with serverTime")
	e.ServerTime = c.at.Unix()
	e.ReceivedTimestamp = c.proof.RawTimestamp
	e.MaxSkewSeconds = int64(h.MaxSkew.Seconds())
	return e
}

// errSignature is the one answer to an unknown key, a mistyped key id and a
// wrong signature: nobody without the secret can tell them apart.
var errSignature = relay.NewError(relay.SignatureInvalid, "the key is unknown or the signature does not match")

// verify finds the key and checks the signature over the bytes received. The
// same HMAC work is done whether the key exists or not.
func (h *Handler) verify(c *call) error {
	var secrets []string
	kind, wellFormed := signature.ParseKeyID(c.proof.KeyID)
	if wellFormed {
		c.keyPrefix = c.proof.KeyID[:min(len(c.proof.KeyID), len("lp_"+kind+"_")+4)]
		cred, err := h.store.Credential(c.ctx(), c.proof.KeyID)
		switch {
		case err == nil:
			c.cred, secrets = cred, cred.Secrets
		case errors.Is(err, relay.ErrUnknownKey):
			h.throttles.unknown.charge(client(c.ip), c.at)
		default:
			return err
		}
	}
	r := c.g.Request
	if c.proof.Verify(secrets, r.Method, r.RequestURI, c.body()) < 0 {
		t := &h.throttles
		t.failures.charge(client(c.ip).withKey(t, c.proof.KeyID), c.at)
		return errSignature
	}
	h.throttles.remember(c.proof.KeyID, c.at)
	c.caller = relay.Caller{
		Account:  c.cred.Account,
		KeyID:    c.cred.KeyID,
		DeviceID: c.cred.DeviceID,
		Nonce:    c.proof.Nonce,
		NonceTTL: signature.NonceTTL(c.proof.Timestamp, c.at, h.MaxSkew),
	}
	return nil
}

// authorize checks what this key may do. Whether it is revoked or expired the
// store decides in the step that acts (DESIGN §2.8).
func (h *Handler) authorize(c *call) error {
	forDevice := c.route.auth == deviceKey
	if !forDevice && !c.cred.Device() && !c.cred.Accepts(relay.SchemeLinkPeeler) {
		return relay.NewError(relay.SchemeNotAllowed, "the key was created without scheme link-peeler")
	}
	switch {
	case forDevice && !c.cred.Device():
		return relay.NewError(relay.ScopeMissing, "this call needs a device key")
	case !forDevice && c.cred.Device():
		return relay.NewError(relay.ScopeMissing, "this call needs an API key; a device key only acts as its device")
	case !forDevice && !c.cred.Allows(c.route.scope):
		return relay.NewError(relay.ScopeMissing, "this call needs the scope "+string(c.route.scope))
	case !c.cred.AllowsIP(c.ip):
		return relay.NewError(relay.IPNotAllowed, "the request came from "+c.ip.String())
	}
	return nil
}

// checkRate bounds the calls of one key. Those that create jobs are bounded by
// the account's windows instead.
func (h *Handler) checkRate(c *call) error {
	if c.route.scope == relay.ScopeJobsCreate {
		return nil
	}
	return h.throttles.calls.spend(source{}.withKey(&h.throttles, c.cred.KeyID), c.at, "this key makes more than 200 calls a second")
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
