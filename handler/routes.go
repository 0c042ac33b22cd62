package handler

import (
	"net/http"

	"linkrelay/relay"
)

// auth says who may make a call.
type auth uint8

const (
	anyone   auth = iota // the probes; their successes are logged at debug
	linkCode             // whoever has a link code: attempts are bounded, the code is in the body
	apiKey
	deviceKey
	operator
	operatorOrLocal // the operator, or a process on this machine
)

// bodyRule says what body a call takes.
type bodyRule struct {
	limit    int64 // bytes; 0: the call takes no body
	optional bool  // no body at all stands for {}
}

var (
	noBody       = bodyRule{}
	fetchBody    = bodyRule{limit: relay.MaxFetchBody}
	actionBody   = bodyRule{limit: relay.MaxActionBody}
	optionalBody = bodyRule{limit: relay.MaxActionBody, optional: true}
)

// v1 marks the one call that takes scheme link-peeler v1, whose signature
// covers neither method nor path (CONTRACT §2).
const v1 = true

// anyQuery marks a call that ignores query parameters instead of refusing
// those it does not know: the probes, and what net/http/pprof reads itself.
var anyQuery = []string{"*"}

// route is one row of the table.
type route struct {
	method string
	path   string
	auth   auth
	v1     bool
	scope  relay.Scope // "" for none
	body   bodyRule
	query  []string // parameters the call knows; others are refused
	do     func(*call) error
}

// publicRoutes is CONTRACT §3 and §4.
func (h *Handler) publicRoutes() []route {
	const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
	return append(h.probeRoutes(), []route{
		{post, "/api/links/fetch", apiKey, v1, relay.ScopeJobsCreate, fetchBody, nil, h.fetch},
		{get, "/api/links/jobs/:id", apiKey, !v1, relay.ScopeJobsRead, noBody, []string{"wait"}, h.job},
		{get, "/api/links/jobs", apiKey, !v1, relay.ScopeJobsRead, noBody, []string{"idempotencyKey", "wait"}, h.jobByKey},
		{del, "/api/links/jobs/:id", apiKey, !v1, relay.ScopeJobsCancel, noBody, nil, h.cancel},
		{get, "/api/links/quota", apiKey, !v1, relay.ScopeJobsRead, noBody, nil, h.quota},

		{post, "/api/desktop/link", linkCode, !v1, "", actionBody, nil, h.link},
		{get, "/api/desktop/jobs/stream", deviceKey, !v1, "", noBody, []string{"maxInFlight"}, h.stream},
		{post, "/api/desktop/jobs/:id/accept", deviceKey, !v1, "", actionBody, nil, h.accept},
		{post, "/api/desktop/jobs/:id/extend", deviceKey, !v1, "", actionBody, nil, h.extend},
		{post, "/api/desktop/jobs/:id/complete", deviceKey, !v1, "", actionBody, nil, h.complete},
		{post, "/api/desktop/jobs/:id/fail", deviceKey, !v1, "", actionBody, nil, h.fail},
		{post, "/api/desktop/jobs/:id/release", deviceKey, !v1, "", actionBody, nil, h.release},
		{get, "/api/desktop/keys", deviceKey, !v1, "", noBody, nil, h.keys},
		{post, "/api/desktop/keys", deviceKey, !v1, "", actionBody, nil, h.createKey},
		{del, "/api/desktop/keys/:id", deviceKey, !v1, "", noBody, nil, h.revokeKey},
	}...)
}

// adminRoutes is CONTRACT §6.
func (h *Handler) adminRoutes() []route {
	const get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete
	const account = "/api/admin/accounts/:account"
	page := []string{"cursor", "limit"}
	return append(h.probeRoutes(), []route{
		{post, "/api/admin/accounts", operator, !v1, "", optionalBody, nil, h.createAccount},
		{get, account, operator, !v1, "", noBody, nil, h.account},
		{patch, account, operator, !v1, "", actionBody, nil, h.changeAccount},
		{post, account + "/link-codes", operator, !v1, "", optionalBody, nil, h.createLinkCode},
		{get, account + "/jobs", operator, !v1, "", noBody, append(page, "state"), h.deadLetters},
		{post, account + "/jobs/:id/redrive", operator, !v1, "", optionalBody, nil, h.redrive},
		{del, account + "/jobs/:id", operator, !v1, "", noBody, nil, h.dropDeadLetter},
		{get, account + "/queue", operator, !v1, "", noBody, nil, h.queue},
		{get, account + "/keys", operator, !v1, "", noBody, nil, h.accountKeys},
		{get, account + "/devices", operator, !v1, "", noBody, nil, h.devices},
		{get, account + "/events", operator, !v1, "", noBody, page, h.events},
		{get, "/debug/pprof/*profile", operatorOrLocal, !v1, "", noBody, anyQuery, h.profile},
	}...)
}

// probeRoutes exist on both listeners. Load balancers probe with either method.
func (h *Handler) probeRoutes() []route {
	const get, head = http.MethodGet, http.MethodHead
	return []route{
		{get, "/livez", anyone, !v1, "", noBody, anyQuery, h.livez},
		{head, "/livez", anyone, !v1, "", noBody, anyQuery, h.livez},
		{get, "/readyz", anyone, !v1, "", noBody, anyQuery, h.readyz},
		{head, "/readyz", anyone, !v1, "", noBody, anyQuery, h.readyz},
	}
}

// chain derives the checks of a route from its row, in the order of CONTRACT
// §5: each refusal hides what a later check would have said.
func (h *Handler) chain(r *route) []func(*call) error {
	signed := r.auth == apiKey || r.auth == deviceKey
	steps := []func(*call) error{checkHeaderSize}
	switch {
	case r.method == "": // no such path or method: nothing else to check
		return append(steps, r.do)
	case signed:
		steps = append(steps, h.checkThrottle, parseProof)
	case r.auth == linkCode:
		steps = append(steps, h.checkLinkAttempts)
	case r.auth == operator:
		steps = append(steps, h.checkToken)
	case r.auth == operatorOrLocal:
		steps = append(steps, h.checkTokenUnlessLocal)
	}
	steps = append(steps, checkBodyKind)
	if signed {
		steps = append(steps, h.checkSkew)
	}
	if r.body.limit > 0 {
		steps = append(steps, readBody)
	}
	if signed {
		steps = append(steps, h.verify, h.authorize, h.checkRate)
	}
	return append(steps, readQuery, r.do)
}

func notFound(*call) error {
	return relay.NewError(relay.NotFound, "no such path; a path is matched exactly: case, slashes, no slash at its end")
}

func methodNotAllowed(c *call) error {
	return relay.NewError(relay.MethodNotAllowed, "this path takes "+c.g.Writer.Header().Get("Allow"))
}
