package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"linkrelay/client"
	"linkrelay/relay"
	"linkrelay/signature"
)

// verdict is the answer of POST /api/links/verify.
type verdict struct {
	OK               bool         `json:"ok"`
	Scheme           relay.Scheme `json:"scheme"`
	Version          string       `json:"version"`
	Key              string       `json:"key"`
	SecretGeneration int          `json:"secretGeneration"`
	WouldCreate      bool         `json:"wouldCreate"`
	Job              *relay.Job   `json:"job"`
}

// verifies is a dry run of creating, and then creating itself, with one nonce.
func verifies(k key, scheme relay.Scheme) (dry, create request) {
	const verify, fetch = "/api/links/verify", "/api/links/fetch"
	nonce, order, body := uuid.NewString(), uuid.NewString(), jobBody("order-7", somewhere)
	switch scheme {
	case relay.SchemeIklim:
		body = iklimBody("7")
		return k.iklimAt(freshTime(), nonce, order, http.MethodPost, verify, body), k.iklimAt(freshTime(), nonce, order, http.MethodPost, fetch, body)
	case relay.SchemeSignedQuery:
		create = k.creates(row(7))
		return request{http.MethodPost, strings.Replace(create.target, fetch, verify, 1), nil, ""}, create
	default:
		v2 := func(target string) request {
			return request{http.MethodPost, target, jsonHeader(k.signer().V2(time.Now(), nonce, http.MethodPost, target, []byte(body))), body}
		}
		return v2(verify), v2(fetch)
	}
}

// A dry run makes every check of fetch and consumes nothing: no quota, no job,
// and not even the nonce, so it may be repeated, and then done.
func TestVerify(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	for _, scheme := range allSchemes {
		t.Run(string(scheme), func(t *testing.T) {
			a := w.account(`"plan":"business","limits":{"perDay":1}`)
			k := a.link("desktop").key(anyScheme())
			dry, create := verifies(k, scheme)
			want := verdict{OK: true, Scheme: scheme, Key: k.id, SecretGeneration: 1, WouldCreate: true}
			if scheme == relay.SchemeLinkPeeler {
				want.Version = "v2"
			}
			for range 2 {
				for _, r := range w.replicas {
					got := send(t, r.public, dry)
					if v := as[verdict](t, got, http.StatusOK); v != want {
						t.Errorf("verified: %s", got.body)
					}
					if state := got.header.Get("RateLimit"); !strings.Contains(state, `"day";r=1;`) {
						t.Errorf("RateLimit: %s", state)
					}
				}
			}
			if q := a.queue(); q.Waiting != 0 {
				t.Errorf("%d jobs wait", q.Waiting)
			}
			made := as[relay.Job](t, send(t, w.public(), create), http.StatusAccepted)
			known, _ := verifies(k, scheme)
			if scheme == relay.SchemeIklim { // refuses what fetch would: the idempotency key was used
				order := create.header.Get(signature.HeaderIklimIdempotency)
				known = k.iklimAt(freshTime(), uuid.NewString(), order, known.method, known.target, known.body)
				if e := refusedIklim(t, send(t, w.public(), known), known, relay.IdempotencyKeyReused); e.JobID != made.ID {
					t.Errorf("names job %q, want %q", e.JobID, made.ID)
				}
			} else if v := as[verdict](t, send(t, w.public(), known), http.StatusOK); v.WouldCreate || v.Job == nil || v.Job.ID != made.ID {
				t.Errorf("verified: %+v, want the job %s", v, made.ID)
			}
			more, _ := verifies(k, scheme)
			switch scheme {
			case relay.SchemeLinkPeeler:
				more = k.call(http.MethodPost, more.target, jobBody("order-8", somewhere))
			case relay.SchemeSignedQuery:
				more.target = strings.Replace(k.creates(row(8)).target, "fetch", "verify", 1)
			}
			refusedBy(t, scheme, send(t, w.public(), more), more, relay.QuotaExceeded)
		})
	}
}

// What fetch would refuse, the dry run refuses, for the same reason.
func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "RELAY_ALLOW_PRIVATE_TARGETS=false")
	a := w.account("")
	d := a.link("desktop")
	k := d.key(client.KeySpec{})
	order := k.fetch(jobBody("order", somewhere))
	as[relay.Job](t, send(t, w.public(), order), http.StatusAccepted)
	late := w.account("")
	unpaid := late.link("desktop").key(client.KeySpec{})
	late.change(`"membership":{"state":"cancelled"}`)
	verify := func(k key, body string) request { return k.call(http.MethodPost, "/api/links/verify", body) }
	used := request{http.MethodPost, "/api/links/verify", jsonHeader(k.signer().V2(time.Now(), order.header.Get(signature.HeaderNonce),
		http.MethodPost, "/api/links/verify", []byte(jobBody("order", somewhere)))), jobBody("order", somewhere)}
	v1 := k.fetch(jobBody("order-1", somewhere))
	v1.target = "/api/links/verify"
	for name, c := range map[string]badRequest{
		"v1":             {v1, relay.HeaderMalformed, header(signature.HeaderSignature)},
		"a used nonce":   {used, relay.NonceReplayed, relay.Error{JobID: as[relay.Job](t, send(t, w.public(), k.call(http.MethodGet, "/api/links/jobs?idempotencyKey=order", "")), http.StatusOK).ID}},
		"another link":   {verify(k, jobBody("order", somewhere+"?b")), relay.IdempotencyMismatch, relay.Error{}},
		"a private host": {verify(k, jobBody("order-1", "http://10.0.0.1/")), relay.URLNotAllowed, relay.Error{Pointer: "/trackingUrl"}},
		"no membership":  {verify(unpaid, jobBody("order-1", somewhere)), relay.MembershipInactive, relay.Error{}},
		"a reader's key": {verify(d.key(client.KeySpec{Scopes: []relay.Scope{relay.ScopeJobsRead}}), jobBody("order-1", somewhere)), relay.ScopeMissing, relay.Error{}},
		"no JSON":        {verify(k, "{"), relay.BodyMalformed, relay.Error{}},
	} {
		t.Run(name, func(t *testing.T) { c.judge(t, send(t, w.public(), c.request)) })
	}
	if q := a.queue(); q.Waiting != 1 {
		t.Errorf("%d jobs wait, want 1", q.Waiting)
	}
}
