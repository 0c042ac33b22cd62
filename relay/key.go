package relay

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Scheme names a way to sign (CONTRACT §2).
type Scheme string

// The signing schemes.
const (
	SchemeLinkPeeler  Scheme = "link-peeler"
	SchemeIklim       Scheme = "iklim"
	SchemeSignedQuery Scheme = "signed-query"
)

// Scope is a permission of an API key.
type Scope string

// The scopes of CONTRACT §6. A device key has none: it may only act as its device.
const (
	ScopeJobsCreate      Scope = "jobs:create"
	ScopeJobsRead        Scope = "jobs:read"
	ScopeJobsCancel      Scope = "jobs:cancel"
	ScopeJobsCreateQuery Scope = "jobs:create:query"
)

// DefaultScopes are given to a key that is created without any.
var DefaultScopes = []Scope{ScopeJobsCreate, ScopeJobsRead, ScopeJobsCancel}

// Environment of an API key: it only shows in the key id's prefix.
type Environment string

// The environments of a key.
const (
	Live Environment = "live"
	Test Environment = "test"
)

// Credential is what the relay knows about a key id: enough to verify a
// signature and to refuse a key that may not do what it asks. Whether the key
// is revoked is decided by the admission step itself (DESIGN §2.8).
type Credential struct {
	KeyID     string
	Account   string
	DeviceID  string   // set for a device key, empty for an API key
	Secrets   []string // the newest first; which of them may act the store decides
	SecretIDs []string // SecretIDs[i] names Secrets[i]: see SecretID
	Schemes   []Scheme
	AllowSHA1 bool // signed-query may use HMAC-SHA1
	Scopes    []Scope
	CIDRs     []netip.Prefix
}

// SecretID names one secret of a key: "key id.generation". A key's first secret
// has generation 1, and each rotation makes the next.
func SecretID(keyID string, generation int) string { return keyID + "." + strconv.Itoa(generation) }

// SecretGeneration is the generation in a secret id, 0 if it is not one.
func SecretGeneration(id string) int {
	_, generation, _ := strings.Cut(id, ".")
	n, _ := strconv.Atoi(generation) // 0 with an error
	return n
}

// Device reports whether this is a device's key.
func (c *Credential) Device() bool { return c.DeviceID != "" }

// Allows reports whether the key has the scope.
func (c *Credential) Allows(s Scope) bool { return slices.Contains(c.Scopes, s) }

// Accepts reports whether the key may be used with the scheme.
func (c *Credential) Accepts(s Scheme) bool { return slices.Contains(c.Schemes, s) }

// AllowsIP reports whether the key may be used from the address.
func (c *Credential) AllowsIP(ip netip.Addr) bool {
	return len(c.CIDRs) == 0 || slices.ContainsFunc(c.CIDRs, func(p netip.Prefix) bool { return p.Contains(ip.Unmap()) })
}

// Caller is who sent one request whose signature was verified. The store
// checks the secret's state and burns the nonce in the same step that acts.
type Caller struct {
	Account  string
	KeyID    string
	SecretID string // which of the key's secrets signed
	DeviceID string
	Nonce    string
	NonceTTL time.Duration // until the request could no longer be fresh
	// Once identifies what was signed where a scheme's signatures are single-use
	// (iklim), "" elsewhere. It is burnt like the nonce and beside it, and an
	// idempotency key that made a job before is refused, not answered with it.
	Once string
}

// KeySpec creates an API key. ID and Secret come from the signature package.
type KeySpec struct {
	ID          string
	Secret      string
	Name        string
	Environment Environment
	Schemes     []Scheme
	AllowSHA1   bool
	Scopes      []Scope
	CIDRs       []netip.Prefix
	ExpiresAt   *time.Time
}

// Key is one API key in an account's inventory; its secret is never in it.
type Key struct {
	ID          string      `json:"key"`
	Name        string      `json:"name"`
	Environment Environment `json:"environment"`
	Schemes     []Scheme    `json:"schemes"`
	AllowSHA1   bool        `json:"allowSha1,omitempty"`
	Scopes      []Scope     `json:"scopes"`
	CIDRs       []string    `json:"allowedCidrs,omitempty"`
	CreatedBy   string      `json:"createdBy"` // the device that created it
	CreatedAt   time.Time   `json:"createdAt"`
	ExpiresAt   *time.Time  `json:"expiresAt,omitempty"`
	Secrets     []Secret    `json:"secrets"` // the newest first; more than one while rotation keeps an old one valid
}

// Secret is what an inventory tells about one secret of a key; never its text.
type Secret struct {
	Generation int        `json:"generation"`
	CreatedAt  time.Time  `json:"createdAt"`
	ValidUntil *time.Time `json:"validUntil,omitempty"` // set when it stops before the key does
	LastUsedAt *time.Time `json:"lastUsedAt,omitempty"` // of a request that verified; written every few seconds
	Uses       int64      `json:"uses"`                 // requests that verified
}

// KeyInventory is an account's keys at one revision.
type KeyInventory struct {
	Revision int64 `json:"revision"`
	Keys     []Key `json:"keys"`
}

// DeviceSpec links a device. DeviceID, KeyID and Secret are made by the caller.
type DeviceSpec struct {
	ID       string
	KeyID    string
	Secret   string
	Name     string
	Platform string
}

// Device is one linked desktop in an account's inventory.
type Device struct {
	ID       string    `json:"deviceId"`
	KeyID    string    `json:"key"`
	Name     string    `json:"name"`
	Platform string    `json:"platform"`
	LinkedAt time.Time `json:"linkedAt"`
	InFlight int64     `json:"inFlight"`
}

// LinkCode is the one-time right to link a device to an account.
type LinkCode struct {
	Code      string    `json:"code"`
	ExpiresAt time.Time `json:"expiresAt"`
}
