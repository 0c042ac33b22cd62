package e2e_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"linkrelay/client"
	"linkrelay/relay"
	"linkrelay/signature"
)

var allSchemes = []relay.Scheme{relay.SchemeLinkPeeler, relay.SchemeIklim, relay.SchemeSignedQuery}

// quotaBy returns the request that reads the quota, signed with the scheme.
func (k key) quotaBy(scheme relay.Scheme) request {
	switch scheme {
	case relay.SchemeIklim:
		return k.iklim(http.MethodGet, "/api/links/quota", "")
	case relay.SchemeSignedQuery:
		return k.reads("/api/links/quota")
	default:
		return k.call(http.MethodGet, "/api/links/quota", "")
	}
}

// createBy returns a request that makes a job, signed with the scheme.
func (k key) createBy(scheme relay.Scheme) request {
	j := signature.QueryJob{IdempotencyKey: uuid.NewString(), TrackingURL: somewhere, Source: "newsletter", RowID: "7"}
	switch scheme {
	case relay.SchemeIklim:
		return k.iklimFetch("7")
	case relay.SchemeSignedQuery:
		return k.creates(j)
	default:
		return k.fetch(jobBody(j.IdempotencyKey, j.TrackingURL))
	}
}

// refusedBy is refused for a request of any scheme.
func refusedBy(t *testing.T, scheme relay.Scheme, a answer, r request, code relay.Code) relay.Error {
	t.Helper()
	if scheme == relay.SchemeIklim {
		return refusedIklim(t, a, r, code)
	}
	return refused(t, a, code)
}

// everywhere uses the key at each replica, with each scheme, to read and to
// create, and expects the code, "" for success.
func (w *world) everywhere(k key, code relay.Code) {
	w.t.Helper()
	for _, scheme := range allSchemes {
		for _, r := range w.replicas {
			for _, q := range []request{k.quotaBy(scheme), k.createBy(scheme)} {
				got := send(w.t, r.public, q)
				switch {
				case code != "":
					refusedBy(w.t, scheme, got, q, code)
				case got.status != http.StatusOK && got.status != http.StatusAccepted:
					w.t.Errorf("%s %s %s: %d %s", scheme, q.method, q.target, got.status, got.body)
				}
			}
		}
	}
}

// anyScheme is a key for everything that platforms do.
func anyScheme() client.KeySpec {
	return client.KeySpec{Schemes: allSchemes, Scopes: append([]relay.Scope{relay.ScopeJobsCreateQuery}, relay.DefaultScopes...)}
}

// A key is refused from other networks than its own, whatever it is signed with.
func TestNetworks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "RELAY_TRUSTED_PROXIES=127.0.0.1")
	spec := anyScheme()
	spec.AllowedCIDRs = []string{"192.0.2.0/24", "2001:db8::/32", "203.0.113.7"}
	k := w.account("").link("desktop").key(spec)
	for _, scheme := range allSchemes {
		for _, from := range []string{"192.0.2.0", "192.0.2.255", "2001:db8:ffff::1", "203.0.113.7", "::ffff:192.0.2.9"} {
			if got := send(t, w.public(), k.quotaBy(scheme).with("X-Forwarded-For", from)); got.status != http.StatusOK {
				t.Errorf("%s from %s: %d %s", scheme, from, got.status, got.body)
			}
		}
		for _, from := range []string{"192.0.3.0", "203.0.113.8", "2001:db9::1", ""} {
			for _, r := range []request{k.quotaBy(scheme), k.createBy(scheme)} {
				r = r.with("X-Forwarded-For", from)
				refusedBy(t, scheme, send(t, w.public(), r), r, relay.IPNotAllowed)
			}
		}
	}
}

// A key signs with the schemes it was created with and no other.
func TestSchemes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	d := w.account("").link("desktop")
	for _, allowed := range allSchemes {
		spec := anyScheme()
		spec.Schemes = []relay.Scheme{allowed}
		k := d.key(spec)
		for _, scheme := range allSchemes {
			r := k.quotaBy(scheme)
			if got := send(t, w.public(), r); scheme == allowed {
				as[relay.QuotaStatus](t, got, http.StatusOK)
			} else {
				refusedBy(t, scheme, got, r, relay.SchemeNotAllowed)
			}
		}
	}
	w.everywhere(d.key(anyScheme()), "")
	for name, c := range map[string]struct {
		spec client.KeySpec
		want relay.Error
	}{
		"unknown":                    {client.KeySpec{Name: "n", Schemes: []relay.Scheme{"basic"}}, faults("/schemes/0", "is not a known scheme: link-peeler, iklim, signed-query")},
		"SHA-1 without signed-query": {client.KeySpec{Name: "n", AllowSHA1: true}, faults("/allowSha1", "is for scheme signed-query, which schemes must name")},
	} {
		_, err := d.at(w.public()).CreateKey(t.Context(), c.spec)
		if e, ok := errors.AsType[*relay.Error](err); !ok || e.Code != relay.ValidationFailed || !slices.Equal(e.Errors, c.want.Errors) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A key past its end is refused whichever of its secrets signed; a rotation
// does not make it live longer.
func TestExpiry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	d := w.account("").link("desktop")
	soon := time.Now().Add(2 * time.Second)
	spec := anyScheme()
	spec.ExpiresAt = &soon
	old := d.key(spec)
	current, rotated := d.rotate(w.public(), old, 24*time.Hour)
	if end := rotated.Secrets[1].ValidUntil; end != nil && end.After(soon) {
		t.Errorf("the old secret is valid until %v, the key until %v", end, soon)
	}
	w.everywhere(current, "")
	eventually(t, "expiry", func() bool {
		return send(t, w.public(), current.quotaBy(relay.SchemeLinkPeeler)).status == http.StatusForbidden
	})
	w.everywhere(old, relay.KeyExpired)
	w.everywhere(current, relay.KeyExpired)
}
