package handler

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"linkrelay/relay"
	"linkrelay/signature"
)

// credentialStore finds what verifies a signature.
type credentialStore interface {
	// Credential returns relay.ErrUnknownKey when no key has the id; remembered
	// when it was not looked up for this call.
	Credential(ctx context.Context, keyID string) (c *relay.Credential, remembered bool, err error)
	// FreshCredential is the same, looked up.
	FreshCredential(ctx context.Context, keyID string) (*relay.Credential, error)
	// Used counts a request that the credential's i-th secret verified.
	Used(c *relay.Credential, i int, at time.Time)
}

// detectScheme finds out how the request means to be signed. It comes first of
// all, for every refusal of a platform's call has the form of its scheme.
func detectScheme(c *call) error {
	elsewhere := c.route.method == "" && strings.HasPrefix(c.g.Request.URL.Path, "/api/links/") // 404 or 405
	if c.route.auth == apiKey || elsewhere {
		c.scheme = signature.Detect(c.g.Request.Header, c.g.Request.RequestURI)
	}
	return nil
}

// checkScheme refuses what a call does not take, whoever signed it.
func checkScheme(c *call) error {
	query := c.scheme == signature.SchemeSignedQuery
	switch takes := c.route.signs; {
	case takes&queryOnly != 0 && !query:
		c.g.Writer.Header().Set("Allow", http.MethodPost) // RFC 9110 §15.5.6
		return relay.NewError(relay.MethodNotAllowed, "GET is for scheme signed-query, with AccessID, Expires and Signature in the query; other schemes POST the job")
	case query && takes&(queryReads|queryCreates) == 0:
		e := relay.NewError(relay.HeaderMalformed, signature.ParamKey+" cannot sign this call: scheme signed-query reads jobs and quota, and creates jobs")
		e.Pointer = queryPointer(signature.ParamKey)
		return e
	case query:
		c.body = noBody // the signature would not cover one
	}
	return nil
}

// claimedKey is the key id that a request names, before anything is checked.
func (c *call) claimedKey() string {
	r := c.g.Request
	switch c.scheme {
	case signature.SchemeIklim:
		return r.Header.Get(signature.HeaderIklimKey)
	case signature.SchemeSignedQuery:
		return r.URL.Query().Get(signature.ParamKey)
	}
	if v := r.Header[signature.HeaderKey]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// checkThrottle refuses callers that failed too often with a key, before
// anything of theirs is looked at. It reads memory only, and whether the key
// exists makes no difference.
func (h *Handler) checkThrottle(c *call) error {
	t := &h.throttles
	if wait := t.failures.wait(client(c.ip).withKey(t, c.claimedKey()), c.at); wait > 0 {
		return throttled(wait)
	}
	return nil
}

// heldOff returns how long a client that guesses must wait, 0 if it need not,
// and whether its key is looked up all the same: one that verified from its
// address is, for others may be behind that. Its clock is that of now, because a
// body may have taken long to arrive and others failed meanwhile.
func (h *Handler) heldOff(c *call) (wait time.Duration, exempt bool) {
	t, from := &h.throttles, client(c.ip)
	if wait = t.guesses.wait(from, h.Clock()); wait > 0 {
		_, exempt = t.verified.get(from.withKey(t, c.proof.KeyID))
	}
	return wait, exempt
}

var headerCodes = map[signature.HeaderFault]relay.Code{
	signature.Missing:    relay.HeaderMissing,
	signature.Malformed:  relay.HeaderMalformed,
	signature.Duplicated: relay.HeaderDuplicated,
}

// parseProof reads the signing headers or parameters.
func parseProof(c *call) error {
	var fault *signature.HeaderError
	switch r := c.g.Request; c.scheme {
	case signature.SchemeIklim:
		c.proof, fault = signature.ParseIklim(r.Header, r.RequestURI)
	case signature.SchemeSignedQuery:
		c.proof, fault = signature.ParseSignedQuery(r.RequestURI)
		c.proof.Creates = c.route.signs&queryCreates != 0
	default: // a device has no other
		c.proof, fault = signature.ParseLinkPeeler(r.Header)
	}
	c.proof.Host = c.g.Request.Host
	if fault != nil {
		e := relay.NewError(headerCodes[fault.Kind], fault.Header+fault.Parameter+" "+fault.Reason)
		if e.Header = fault.Header; fault.Parameter != "" {
			e.Pointer = queryPointer(fault.Parameter)
		}
		return e
	}
	if c.proof.V1 && c.route.signs&v1 == 0 {
		e := relay.NewError(relay.HeaderMalformed, signature.HeaderSignature+" must be a v2 value for this call: v2= followed by 64 hex digits; v1 is for POST /api/links/fetch only")
		e.Header = signature.HeaderSignature
		return e
	}
	return nil
}

// checkSkew compares the time of the request with the clock as it was when the
// headers arrived: a slow body does not make a request stale.
func (h *Handler) checkSkew(c *call) error {
	if c.proof.Fresh(c.at, h.MaxSkew) {
		return nil
	}
	e := relay.NewError(relay.TimestampOutOfWindow, "compare receivedTimestamp with serverTime")
	e.MaxSkewSeconds = int64(h.MaxSkew.Seconds())
	switch c.proof.Scheme {
	case signature.SchemeIklim:
		e.Detail = "compare receivedTimestamp, in milliseconds, with serverTime, in seconds"
	case signature.SchemeSignedQuery:
		e.MaxSkewSeconds = int64(signature.MaxQueryAhead.Seconds())
		e.Detail = "Expires has passed, or is more than " + strconv.FormatInt(e.MaxSkewSeconds, 10) + " s ahead: compare receivedTimestamp with serverTime"
	}
	e.ServerTime = c.at.Unix()
	e.ReceivedTimestamp = c.proof.RawTimestamp
	return e
}

// errSignature is the one answer to an unknown key, a mistyped key id and a
// wrong signature: nobody without the secret can tell them apart.
var errSignature = relay.NewError(relay.SignatureInvalid, "the key is unknown or the signature does not match")

// verify finds the key and checks the signature over the bytes received. The
// same HMAC work is done whether the key exists or not, and every request that
// does not verify costs one look-up of its key: also what was remembered is looked
// up then, for a secret may have been made since.
//
// Who guesses gets no look-up, but else the same: the work and, instead of the
// refusal, the wait. So it does not learn which keys verify from its address.
func (h *Handler) verify(c *call) error {
	held, exempt := h.heldOff(c)
	cred, remembered := nobody, false
	if held == 0 || exempt {
		var err error
		if cred, remembered, err = h.credential(c); err != nil {
			return err
		}
	}
	r := c.g.Request
	i := c.proof.Verify(cred.Secrets, r.Method, r.RequestURI, c.received())
	if i < 0 && remembered && held == 0 {
		fresh, err := known(h.store.FreshCredential(c.ctx(), c.proof.KeyID))
		if err != nil {
			return err
		}
		if !slices.Equal(fresh.SecretIDs, cred.SecretIDs) {
			i = c.proof.Verify(fresh.Secrets, r.Method, r.RequestURI, c.received())
		}
		cred = fresh
	}
	switch failed := i < 0 || c.proof.SHA1 && !cred.AllowSHA1; {
	case failed && held > 0:
		if exempt && !remembered { // each look-up is bounded, also of a key that is gone
			h.throttles.failures.charge(client(c.ip).withKey(&h.throttles, c.proof.KeyID), c.at)
		}
		return throttled(held)
	case failed:
		return h.unverified(c, cred)
	}
	h.throttles.remember(client(c.ip), c.proof.KeyID, c.at)
	h.store.Used(cred, i, c.at)
	c.cred = cred
	c.caller = relay.Caller{
		Account:  cred.Account,
		KeyID:    cred.KeyID,
		SecretID: cred.SecretIDs[i],
		DeviceID: cred.DeviceID,
		Nonce:    c.proof.Nonce,
		NonceTTL: signature.NonceTTL(c.proof.Timestamp, c.at, h.MaxSkew),
		Once:     c.proof.Once(r.Method, r.RequestURI, c.received()),
	}
	if c.proof.Scheme == signature.SchemeSignedQuery {
		// The scheme has no nonce: a signed URL may be used until it expires. This
		// one only lets the store recognise its own earlier run.
		c.caller.Nonce, c.caller.NonceTTL = relay.RandomText(22), time.Minute
	}
	return nil
}

func (h *Handler) credential(c *call) (cred *relay.Credential, remembered bool, err error) {
	kind, wellFormed := signature.ParseKeyID(c.proof.KeyID)
	if !wellFormed {
		return nobody, false, nil // such an id was never issued
	}
	c.keyPrefix = c.proof.KeyID[:len("lp_"+kind+"_")+4]
	cred, remembered, err = h.store.Credential(c.ctx(), c.proof.KeyID)
	cred, err = known(cred, err)
	return cred, remembered, err
}

// nobody is the credential of a key id that no key has.
var nobody = &relay.Credential{}

// known turns an unknown key into one that nobody has a secret of.
func known(cred *relay.Credential, err error) (*relay.Credential, error) {
	if errors.Is(err, relay.ErrUnknownKey) {
		return nobody, nil
	}
	return cred, err
}

// unverified counts the failure and makes its answer: the same for everybody
// but those whose mistake shows that they hold the secret (CONTRACT §2,
// Diagnosis). Looking for it costs the same for unknown keys, and is left out
// for all when too much of it was done lately.
func (h *Handler) unverified(c *call, cred *relay.Credential) error {
	t, from := &h.throttles, client(c.ip)
	t.failures.charge(from.withKey(t, c.proof.KeyID), c.at)
	t.guesses.charge(from, c.at)
	diagnosis := ""
	if t.diagnoses.wait(source{}, c.at) == 0 {
		for range 1 + len(c.received())/(relay.MaxFetchBody+1) { // a desktop's body may be several times as large
			t.diagnoses.charge(source{}, c.at)
		}
		r := c.g.Request
		diagnosis = c.proof.Diagnose(cred.Secrets, r.Method, r.RequestURI, c.received())
	}
	if diagnosis == "" {
		return errSignature
	}
	e := *errSignature
	e.Diagnosis = diagnosis
	return &e
}
