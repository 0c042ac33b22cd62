package handler

import (
	"net/http"
	"slices"

	"linkrelay/relay"
)

// auth says who may make a call.
type auth uint8

const (
	anyone   auth = iota // the probes and documents; their successes are logged at debug
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

// signs says what a call takes besides the signatures that every signed call
// takes: link-peeler v2 and, of platforms, iklim (CONTRACT §2).
type signs uint8

const (
	// v1 is scheme link-peeler v1, whose signature covers neither method nor path.
	v1 signs = 1 << iota
	// queryReads is scheme signed-query, whose signature covers key and end only.
	queryReads
	// queryCreates is signed-query over the values of a job, which stand in the
	// query: such a request has no body.
	queryCreates
	// queryOnly takes nothing but signed-query.
	queryOnly

	plain signs = 0
)

// anyQuery marks a call that ignores query parameters instead of refusing
// those it does not know: the probes, and what net/http/pprof reads itself.
var anyQuery = []string{"*"}

// route is one row of the table.
type route struct {
	method string
	path   string
	auth   auth
	signs  signs
	scope  relay.Scope // "" for none; jobs:create:query in its place under queryCreates
	body   bodyRule
	query  []string // parameters the call knows; others are refused
	do     func(*call) error
}

// admits reports whether the call makes jobs.
func (r *route) admits() bool { return r.path == fetchPath }

const fetchPath = "/api/links/fetch"

// publicRoutes is CONTRACT §3 and §4.
func (h *Handler) publicRoutes() []route {
	const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
	return slices.Concat(h.probeRoutes(), documentRoutes(), []route{
		{post, fetchPath, apiKey, v1 | queryCreates, relay.ScopeJobsCreate, fetchBody, nil, h.fetch},
		{get, fetchPath, apiKey, queryCreates | queryOnly, relay.ScopeJobsCreate, noBody, nil, h.fetch},
		{post, "/api/links/verify", apiKey, queryCreates, relay.ScopeJobsCreate, fetchBody, nil, h.verifyJob},
		{get, "/api/links/jobs/:id", apiKey, queryReads, relay.ScopeJobsRead, noBody, []string{"wait"}, h.job},
		{get, "/api/links/jobs", apiKey, queryReads, relay.ScopeJobsRead, noBody, []string{"idempotencyKey", "wait"}, h.jobByKey},
		{del, "/api/links/jobs/:id", apiKey, plain, relay.ScopeJobsCancel, noBody, nil, h.cancel},
		{get, "/api/links/quota", apiKey, queryReads, relay.ScopeJobsRead, noBody, nil, h.quota},

		{post, "/api/desktop/link", linkCode, plain, "", actionBody, nil, h.link},
		{get, "/api/desktop/jobs/stream", deviceKey, plain, "", noBody, []string{"maxInFlight"}, h.stream},
		{post, "/api/desktop/jobs/:id/accept", deviceKey, plain, "", actionBody, nil, h.accept},
		{post, "/api/desktop/jobs/:id/extend", deviceKey, plain, "", actionBody, nil, h.extend},
		{post, "/api/desktop/jobs/:id/complete", deviceKey, plain, "", actionBody, nil, h.complete},
		{post, "/api/desktop/jobs/:id/fail", deviceKey, plain, "", actionBody, nil, h.fail},
		{post, "/api/desktop/jobs/:id/release", deviceKey, plain, "", actionBody, nil, h.release},
		{get, "/api/desktop/keys", deviceKey, plain, "", noBody, nil, h.keys},
		{post, "/api/desktop/keys", deviceKey, plain, "", actionBody, nil, h.createKey},
		{post, "/api/desktop/keys/:id/rotate", deviceKey, plain, "", optionalBody, nil, h.rotateKey},
		{del, "/api/desktop/keys/:id", deviceKey, plain, "", noBody, nil, h.revokeKey},
	})
}

// adminRoutes is CONTRACT §6.
func (h *Handler) adminRoutes() []route {
	const get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete
	const account = "/api/admin/accounts/:account"
	page := []string{"cursor", "limit"}
	return append(h.probeRoutes(), []route{
		{post, "/api/admin/accounts", operator, plain, "", optionalBody, nil, h.createAccount},
		{get, account, operator, plain, "", noBody, nil, h.account},
		{patch, account, operator, plain, "", actionBody, nil, h.changeAccount},
		{post, account + "/link-codes", operator, plain, "", optionalBody, nil, h.createLinkCode},
		{get, account + "/jobs", operator, plain, "", noBody, append(page, "state"), h.deadLetters},
		{post, account + "/jobs/:id/redrive", operator, plain, "", optionalBody, nil, h.redrive},
		{del, account + "/jobs/:id", operator, plain, "", noBody, nil, h.dropDeadLetter},
		{get, account + "/queue", operator, plain, "", noBody, nil, h.queue},
		{get, account + "/keys", operator, plain, "", noBody, nil, h.accountKeys},
		{get, account + "/devices", operator, plain, "", noBody, nil, h.devices},
		{get, account + "/events", operator, plain, "", noBody, page, h.events},
		{get, "/debug/pprof/*profile", operatorOrLocal, plain, "", noBody, anyQuery, h.profile},
	}...)
}

// documentRoutes are what the relay tells about itself, to anyone.
func documentRoutes() []route {
	const get = http.MethodGet
	return []route{
		{get, "/openapi.json", anyone, plain, "", noBody, anyQuery, openAPI},
		{get, "/docs", anyone, plain, "", noBody, anyQuery, docsPage},
		{get, "/docs/vectors/:name", anyone, plain, "", noBody, anyQuery, vectors},
		{get, "/problems/:code", anyone, plain, "", noBody, anyQuery, explain},
	}
}

// probeRoutes exist on both listeners. Load balancers probe with either method.
func (h *Handler) probeRoutes() []route {
	const get, head = http.MethodGet, http.MethodHead
	return []route{
		{get, "/livez", anyone, plain, "", noBody, anyQuery, h.livez},
		{head, "/livez", anyone, plain, "", noBody, anyQuery, h.livez},
		{get, "/readyz", anyone, plain, "", noBody, anyQuery, h.readyz},
		{head, "/readyz", anyone, plain, "", noBody, anyQuery, h.readyz},
	}
}

// chain derives the checks of a route from its row, in the order of CONTRACT
// §5: each refusal hides what a later check would have said.
func (h *Handler) chain(r *route) []func(*call) error {
	signed := r.auth == apiKey || r.auth == deviceKey
	steps := []func(*call) error{detectScheme, checkHeaderSize}
	switch {
	case r.method == "": // no such path or method: nothing else to check
		return append(steps, r.do)
	case signed:
		steps = append(steps, checkScheme, h.checkThrottle, parseProof)
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
