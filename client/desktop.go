package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"linkrelay/relay"
	"linkrelay/signature"
)

// Credentials are what linking gives a desktop. The relay shows the secret
// this once.
type Credentials struct {
	AccountID string `json:"accountId"`
	DeviceID  string `json:"deviceId"`
	KeyID     string `json:"key"`
	Secret    string `json:"secret"`
}

// Format implements fmt.Formatter for every verb, so that no log line can hold
// the secret.
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "credentials(%s)", c.KeyID) }

// Link trades a link code, typed in any case and with or without its dashes,
// for the credentials of a new device of the code's account. name is what the
// account's owner will see, platform the operating system. The code works once,
// so the call is made once: after a failure on the way ask for another code.
func Link(ctx context.Context, baseURL, code, name, platform string) (Credentials, error) {
	base, err := parseBase(baseURL)
	if err != nil {
		return Credentials{}, err
	}
	c := unsignedCaller(base, nil)
	defer c.Close()
	var made Credentials
	_, err = c.do(ctx, call{method: http.MethodPost, path: "/api/desktop/link", once: true, in: map[string]string{
		"code": code, "name": name, "platform": platform,
	}}, &made)
	return made, err
}

// Desktop acts as a linked device: it works off jobs and manages the account's
// API keys (CONTRACT §4). It is safe for concurrent use.
type Desktop struct {
	*caller
	maxInFlight int
	grace       time.Duration
	reconnect   Backoff
}

// NewDesktop returns a client for a device key. It makes no call.
func NewDesktop(o Options) (*Desktop, error) {
	c, err := newCaller(o)
	if err != nil {
		return nil, err
	}
	if kind, _ := signature.ParseKeyID(o.KeyID); kind != signature.KindDevice {
		return nil, kindError("device")
	}
	d := &Desktop{caller: c, maxInFlight: o.MaxInFlight, grace: max(o.Grace, 0), reconnect: o.Reconnect.or(time.Second, 30*time.Second)}
	if d.maxInFlight <= 0 {
		d.maxInFlight = relay.DefaultInFlight
	}
	d.maxInFlight = min(d.maxInFlight, relay.MaxStreamsInFlight)
	if o.Grace == 0 {
		d.grace = defaultGrace
	}
	return d, nil
}

// KeySpec describes an API key to create. The zero values of all members but
// Name leave the relay's defaults: environment live; scheme link-peeler; scopes
// jobs:create, jobs:read and jobs:cancel; every address; no expiry.
type KeySpec struct {
	Name         string            `json:"name"`
	Environment  relay.Environment `json:"environment,omitempty"`
	Schemes      []relay.Scheme    `json:"schemes,omitempty"`
	AllowSHA1    bool              `json:"allowSha1,omitempty"` // scheme signed-query may use HMAC-SHA1, for callers that have nothing better
	Scopes       []relay.Scope     `json:"scopes,omitempty"`
	AllowedCIDRs []string          `json:"allowedCidrs,omitempty"`
	ExpiresAt    *time.Time        `json:"expiresAt,omitempty"`
}

// NewKey is a key just created. The relay shows the secret this once.
type NewKey struct {
	relay.Key
	Secret string `json:"secret"`
}

// Format implements fmt.Formatter for every verb, so that no log line can hold
// the secret.
func (k NewKey) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "key(%s)", k.ID) }

// CreateKey creates an API key of the account. It is sent once: after a failure
// on the way a key may exist whose secret nobody has seen; ListKeys shows it
// and RevokeKey removes it.
func (d *Desktop) CreateKey(ctx context.Context, spec KeySpec) (k NewKey, err error) {
	_, err = d.do(ctx, call{method: http.MethodPost, path: "/api/desktop/keys", in: spec, once: true}, &k)
	return k, err
}

// RotateKey gives an API key another secret and returns it in the key's entry.
// The secrets it had stay valid for grace (0 to relay.MaxGrace, rounded up to
// the second; with 0 they are refused from now on), never past an end they have
// already. Key.Secrets tells when each was last used.
//
// It is sent once: after a failure on the way the key may have a secret that
// nobody has seen, while the grace of the others runs. Rotate again then.
func (d *Desktop) RotateKey(ctx context.Context, keyID string, grace time.Duration) (k NewKey, err error) {
	in := struct {
		GraceSeconds int64 `json:"graceSeconds"`
	}{wholeSeconds(grace)}
	path := "/api/desktop/keys/" + url.PathEscape(keyID) + "/rotate"
	_, err = d.do(ctx, call{method: http.MethodPost, path: path, in: in, once: true}, &k)
	return k, err
}

// ListKeys reads the account's API keys.
func (d *Desktop) ListKeys(ctx context.Context) (inv relay.KeyInventory, err error) {
	_, err = d.do(ctx, call{method: http.MethodGet, path: "/api/desktop/keys"}, &inv)
	return inv, err
}

// RevokeKey revokes an API key, at once and for good, and returns the
// inventory without it or with it marked as revoked.
func (d *Desktop) RevokeKey(ctx context.Context, keyID string) (inv relay.KeyInventory, err error) {
	_, err = d.do(ctx, call{method: http.MethodDelete, path: "/api/desktop/keys/" + url.PathEscape(keyID)}, &inv)
	return inv, err
}

// actionBody is the body of an action on a delivery.
type actionBody struct {
	Lease        string          `json:"lease"`
	Result       json.RawMessage `json:"result,omitempty"`
	Error        string          `json:"error,omitempty"`
	Retryable    *bool           `json:"retryable,omitempty"`
	DelaySeconds *int64          `json:"delaySeconds,omitempty"`
}

// Act does one action on a delivery and returns the job as it stands then. All
// actions may be repeated with the same lease, so failures on the way are
// retried like everything else; lease_lost and job_final are final. Run acts by
// itself.
func (d *Desktop) Act(ctx context.Context, a relay.Action) (job relay.Job, err error) {
	body := actionBody{Lease: a.Lease}
	switch a.Verb {
	case relay.Complete:
		if body.Result = a.Result; len(a.Result) == 0 {
			body.Result = json.RawMessage("null")
		}
	case relay.Fail:
		body.Error, body.Retryable = a.Error, &a.Retryable
		if a.Delay != nil {
			seconds := wholeSeconds(*a.Delay)
			body.DelaySeconds = &seconds
		}
	}
	path := "/api/desktop/jobs/" + url.PathEscape(a.JobID) + "/" + string(a.Verb)
	_, err = d.do(ctx, call{method: http.MethodPost, path: path, in: body}, &job)
	return job, err
}
