package handler

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"linkrelay/relay"
	"linkrelay/signature"
)

// desktopStore is what devices ask of the store.
type desktopStore interface {
	// Link uses up a link code (as signature.NormalizeLinkCode has it) and
	// returns the account it was for.
	Link(ctx context.Context, code string, d relay.DeviceSpec) (account string, err error)
	Connect(ctx context.Context, by relay.Caller, maxInFlight int) (relay.Session, error)
	Act(ctx context.Context, by relay.Caller, a relay.Action) (relay.Job, error)
	CreateKey(ctx context.Context, by relay.Caller, k relay.KeySpec) (relay.Key, error)
	KeyInventory(ctx context.Context, by relay.Caller) (relay.KeyInventory, error)
	RevokeKey(ctx context.Context, by relay.Caller, keyID string) (relay.KeyInventory, error)
	// RotateKey gives a key another secret; the ones before stay valid for grace,
	// never past their own end.
	RotateKey(ctx context.Context, by relay.Caller, keyID, secret string, grace time.Duration) (relay.Key, error)
}

const (
	maxCodeText = 64 // characters of a link code as typed, dashes and spaces included
	maxPlatform = 64 // characters
	maxLease    = 200
	maxCIDRs    = 50
)

// link trades a link code for a device key: POST /api/desktop/link.
func (h *Handler) link(c *call) error {
	var code string
	d := relay.DeviceSpec{ID: relay.NewDeviceID(), KeyID: signature.NewKeyID(signature.KindDevice), Secret: signature.NewSecret()}
	err := c.readJSON([]field{{"code", &code}, {"name", &d.Name}, {"platform", &d.Platform}})
	if err != nil {
		return err
	}
	c.checkText("/code", code, maxCodeText)
	c.checkText("/name", d.Name, relay.MaxName)
	c.checkText("/platform", d.Platform, maxPlatform)
	if err := c.valid(); err != nil {
		return err
	}
	account, err := h.store.Link(c.ctx(), signature.NormalizeLinkCode(code), d)
	if err != nil {
		return err
	}
	c.caller.Account = account // for the log
	return c.reply(http.StatusCreated, struct {
		AccountID string `json:"accountId"`
		DeviceID  string `json:"deviceId"`
		Key       string `json:"key"`
		Secret    string `json:"secret"`
	}{account, d.ID, d.KeyID, d.Secret})
}

// checkText validates a text that is required, unless its value was already
// found to be of a wrong type.
func (c *call) checkText(pointer, value string, limit int) {
	c.faultOnce(pointer, relay.CheckText(value, limit))
}

func (c *call) faultOnce(pointer, reason string) {
	if !slices.ContainsFunc(c.faults, func(f relay.FieldError) bool { return f.Pointer == pointer }) {
		c.fault(pointer, reason)
	}
}

// The actions on a delivery: POST /api/desktop/jobs/{id}/….
func (h *Handler) accept(c *call) error  { return h.act(c, relay.Action{Verb: relay.Accept}, nil) }
func (h *Handler) extend(c *call) error  { return h.act(c, relay.Action{Verb: relay.Extend}, nil) }
func (h *Handler) release(c *call) error { return h.act(c, relay.Action{Verb: relay.Release}, nil) }

func (h *Handler) complete(c *call) error {
	return h.act(c, relay.Action{Verb: relay.Complete}, func(a *relay.Action) ([]field, func()) {
		return []field{{"result", (*anyJSON)(&a.Result)}}, func() {
			switch {
			case len(a.Result) == 0:
				c.faultOnce("/result", "is required")
			case len(a.Result) > relay.MaxResult:
				c.faultOnce("/result", "must be at most "+strconv.Itoa(relay.MaxResult)+" bytes as compact JSON")
			}
		}
	})
}

// fail takes retryable as true when it is absent: a failure nobody thought
// about must not be the job's end.
func (h *Handler) fail(c *call) error {
	return h.act(c, relay.Action{Verb: relay.Fail, Retryable: true}, func(a *relay.Action) ([]field, func()) {
		var delay *int64
		return []field{{"error", &a.Error}, {"retryable", &a.Retryable}, {"delaySeconds", &delay}}, func() {
			a.Error = relay.OneLine(a.Error, relay.MaxFailureText) // exceptions have many lines; the job must not wait for that
			c.checkText("/error", a.Error, relay.MaxFailureText)
			if delay == nil {
				return
			}
			d := secondsWithin(*delay, relay.MaxRetryDelay)
			if a.Delay = &d; d < 0 || d > relay.MaxRetryDelay {
				c.faultOnce("/delaySeconds", "must be between 0 and "+strconv.Itoa(int(relay.MaxRetryDelay/time.Second)))
			}
		}
	})
}

// act reads an action's body, which always has the lease and for some verbs
// more, and has the store do it.
func (h *Handler) act(c *call, a relay.Action, more func(*relay.Action) ([]field, func())) error {
	fields, check := []field{{"lease", &a.Lease}}, func() {}
	if more != nil {
		var extra []field
		extra, check = more(&a)
		fields = append(fields, extra...)
	}
	if err := c.readJSON(fields); err != nil {
		return err
	}
	c.checkText("/lease", a.Lease, maxLease)
	check()
	if err := c.valid(); err != nil {
		return err
	}
	var err error
	if a.JobID, err = c.pathJob(); err != nil {
		return err
	}
	job, err := h.store.Act(c.ctx(), c.caller, a)
	return c.replyJob(&job, err)
}

// keys shows the account's API keys: GET /api/desktop/keys.
func (h *Handler) keys(c *call) error {
	if err := c.valid(); err != nil {
		return err
	}
	inventory, err := h.store.KeyInventory(c.ctx(), c.caller)
	return c.replyKeys(inventory, err)
}

// revokeKey revokes an API key: DELETE /api/desktop/keys/{id}.
func (h *Handler) revokeKey(c *call) error {
	if err := c.valid(); err != nil {
		return err
	}
	id, err := c.pathKey()
	if err != nil {
		return err
	}
	inventory, err := h.store.RevokeKey(c.ctx(), c.caller, id)
	return c.replyKeys(inventory, err)
}

// pathKey returns the key id of the path. What cannot be one is not looked for.
func (c *call) pathKey() (string, error) {
	id := c.g.Param("id")
	if _, ok := signature.ParseKeyID(id); !ok {
		return "", relay.NewError(relay.NotFound, "no such key")
	}
	return id, nil
}

func (c *call) replyKeys(inventory relay.KeyInventory, err error) error {
	if err != nil {
		return err
	}
	if inventory.Keys == nil {
		inventory.Keys = []relay.Key{}
	}
	return c.reply(http.StatusOK, &inventory)
}

// createKey creates an API key and shows its secret, this once:
// POST /api/desktop/keys.
func (h *Handler) createKey(c *call) error {
	spec, err := c.keySpec()
	if err != nil {
		return err
	}
	if err := h.spendNewKey(c); err != nil {
		return err
	}
	key, err := h.store.CreateKey(c.ctx(), c.caller, spec)
	return c.replySecret(http.StatusCreated, key, spec.Secret, err)
}

// rotateKey gives a key another secret and shows it, this once; the ones before
// stay valid for a while: POST /api/desktop/keys/{id}/rotate.
func (h *Handler) rotateKey(c *call) error {
	grace := int64(relay.DefaultGrace / time.Second)
	if err := c.readJSON([]field{{"graceSeconds", &grace}}); err != nil {
		return err
	}
	life := secondsWithin(grace, relay.MaxGrace)
	if life < 0 || life > relay.MaxGrace {
		c.fault("/graceSeconds", "must be between 0 and "+strconv.Itoa(int(relay.MaxGrace/time.Second)))
	}
	if err := c.valid(); err != nil {
		return err
	}
	id, err := c.pathKey()
	if err != nil {
		return err
	}
	if err := h.spendNewKey(c); err != nil {
		return err
	}
	secret := signature.NewSecret()
	key, err := h.store.RotateKey(c.ctx(), c.caller, id, secret, life)
	return c.replySecret(http.StatusOK, key, secret, err)
}

func (h *Handler) spendNewKey(c *call) error {
	return h.throttles.newKeys.spend(source{}.withKey(&h.throttles, c.cred.KeyID), c.at, "this device makes secrets too fast")
}

func (c *call) replySecret(status int, key relay.Key, secret string, err error) error {
	if err != nil {
		return err
	}
	return c.reply(status, struct {
		relay.Key
		Secret string `json:"secret"`
	}{key, secret})
}

func (c *call) keySpec() (relay.KeySpec, error) {
	var schemes, scopes, cidrs []string
	k := relay.KeySpec{Environment: relay.Live}
	err := c.readJSON([]field{
		{"name", &k.Name},
		{"environment", (*string)(&k.Environment)},
		{"schemes", &schemes},
		{"scopes", &scopes},
		{"allowSha1", &k.AllowSHA1},
		{"allowedCidrs", &cidrs},
		{"expiresAt", &k.ExpiresAt},
	})
	if err != nil {
		return k, err
	}
	c.checkText("/name", k.Name, relay.MaxName)
	if k.Environment != relay.Live && k.Environment != relay.Test {
		c.faultOnce("/environment", "must be live or test")
	}
	k.Schemes = choose(c, "/schemes", schemes, allSchemes[:1], allSchemes, "is not a known scheme: link-peeler, iklim, signed-query")
	k.Scopes = choose(c, "/scopes", scopes, relay.DefaultScopes, allScopes, "is not a known scope")
	if k.AllowSHA1 && !slices.Contains(k.Schemes, relay.SchemeSignedQuery) {
		c.faultOnce("/allowSha1", "is for scheme signed-query, which schemes must name")
	}
	k.CIDRs = c.networks("/allowedCidrs", cidrs)
	if k.ExpiresAt != nil && !k.ExpiresAt.After(c.at) {
		c.fault("/expiresAt", "must be in the future")
	}
	k.ID, k.Secret = signature.NewKeyID(signature.Kind(k.Environment)), signature.NewSecret()
	return k, c.valid()
}

// allSchemes begins with what a key gets that names none.
var allSchemes = []relay.Scheme{relay.SchemeLinkPeeler, relay.SchemeIklim, relay.SchemeSignedQuery}

var allScopes = []relay.Scope{relay.ScopeJobsCreate, relay.ScopeJobsRead, relay.ScopeJobsCancel, relay.ScopeJobsCreateQuery}

// choose returns the names as values, each once and all of them known; usual
// when the member is absent.
func choose[T ~string](c *call, pointer string, names []string, usual, known []T, unknown string) []T {
	if names == nil {
		return usual
	}
	if len(names) == 0 {
		c.fault(pointer, "must not be empty; leave it out for the default")
	}
	var chosen []T
	for i, name := range names {
		switch at := pointer + "/" + strconv.Itoa(i); {
		case !slices.Contains(known, T(name)):
			c.faultOnce(at, unknown)
		case slices.Contains(chosen, T(name)):
			c.fault(at, "is there twice")
		default:
			chosen = append(chosen, T(name))
		}
	}
	return chosen
}

// networks reads CIDR prefixes; an address alone stands for itself.
func (c *call) networks(pointer string, texts []string) []netip.Prefix {
	if len(texts) > maxCIDRs {
		c.fault(pointer, "may have at most "+strconv.Itoa(maxCIDRs)+" entries")
		return nil
	}
	var out []netip.Prefix
	for i, text := range texts {
		p, err := netip.ParsePrefix(text)
		if ip, bare := netip.ParseAddr(text); bare == nil && ip.Zone() == "" {
			ip = ip.Unmap()
			p, err = netip.PrefixFrom(ip, ip.BitLen()), nil
		}
		if err != nil || p.Addr().Is4In6() { // its text would echo the input
			c.faultOnce(pointer+"/"+strconv.Itoa(i), "is not a network like 192.0.2.0/24 or 2001:db8::/32")
			continue
		}
		out = append(out, p.Masked())
	}
	return out
}
