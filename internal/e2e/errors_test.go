package e2e_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"linkrelay/client"
	"linkrelay/relay"
	"linkrelay/signature"
)

// plansFile names plans of which one is without API Links.
func plansFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plans.json")
	plans := `{"free": {"apiLinks": true, "limits": {}}, "business": {"apiLinks": true, "limits": {}}, "basic": {"apiLinks": false, "limits": {}}}`
	if err := os.WriteFile(path, []byte(plans), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// stage is an account with everything that the table of errors needs.
type stage struct {
	account
	d          device
	k          key
	job        relay.Job      // queued under the idempotency key "order"
	captured   request        // that made it
	held, done relay.Delivery // accepted; completed
	unknownJob string
}

func (w *world) stage() *stage {
	a := w.account("")
	s := &stage{account: a, d: a.link("desktop"), unknownJob: "job_0123456789ABCDEFabc"}
	s.k = s.d.key(client.KeySpec{})
	frames := s.d.frames(w.public(), 2)
	s.held, s.done = holdJob(w.t, s.d, s.k, w.public(), frames, "held"), holdJob(w.t, s.d, s.k, w.public(), frames, "done")
	as[relay.Job](w.t, send(w.t, w.public(), s.d.acts(s.done, "complete", `"result":null`)), http.StatusOK)
	s.captured = s.k.fetch(jobBody("order", somewhere))
	s.job = as[relay.Job](w.t, send(w.t, w.public(), s.captured), http.StatusAccepted)
	return s
}

// badRequest is a row of the table: a request and what it is refused with.
type badRequest struct {
	request
	code relay.Code
	want relay.Error // the members that go with the code
}

// Every error of CONTRACT §5 that a single request can provoke, over HTTP:
// status, code, its members, and the form that all problems have.
func TestErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "RELAY_ALLOW_PRIVATE_TARGETS=false", "RELAY_PLANS_FILE="+plansFile(t))
	s := w.stage()
	rows := map[string]badRequest{}
	for _, table := range []map[string]badRequest{s.badHeaders(), s.badBodies(), s.badKeys(), s.badJobs()} {
		for name, row := range table {
			rows[name] = row
		}
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			a := send(t, w.public(), row.request)
			row.judge(t, a)
			if row.code == relay.MethodNotAllowed && a.header.Get("Allow") != "GET, POST" {
				t.Errorf("Allow: %q", a.header.Get("Allow"))
			}
		})
	}
	if q := s.queue(); q.Waiting != 1 || q.Running != 1 {
		t.Errorf("queue %+v: something that was refused took effect", q)
	}
}

// judge expects the row's refusal, with the members that go with its code.
func (row badRequest) judge(t *testing.T, a answer) {
	t.Helper()
	got := refused(t, a, row.code)
	if diff := cmp.Diff(row.want, got, cmpopts.IgnoreUnexported(relay.Error{}),
		cmpopts.IgnoreFields(relay.Error{}, "Type", "Title", "Status", "Detail", "Code", "RequestID", "Retryable", "ServerTime", "ReceivedTimestamp")); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	if got.Detail == "" {
		t.Error("no detail")
	}
}

func header(name string) relay.Error { return relay.Error{Header: name} }

// badHeaders are refused before anything is known of the caller.
func (s *stage) badHeaders() map[string]badRequest {
	fetch := func() request { return s.k.fetch(jobBody("refused", somewhere)) }
	read := func(target string) request { return s.k.call(http.MethodGet, target, "") }
	twice := fetch()
	twice.header.Add(signature.HeaderNonce, signature.NewNonce())
	v1 := request{http.MethodGet, "/api/links/quota", s.k.fetch("").header, ""}
	v1.header.Del("Content-Type")
	return map[string]badRequest{
		"no key":          {fetch().with(signature.HeaderKey, ""), relay.HeaderMissing, header(signature.HeaderKey)},
		"no timestamp":    {fetch().with(signature.HeaderTimestamp, ""), relay.HeaderMissing, header(signature.HeaderTimestamp)},
		"no nonce":        {fetch().with(signature.HeaderNonce, ""), relay.HeaderMissing, header(signature.HeaderNonce)},
		"no signature":    {fetch().with(signature.HeaderSignature, ""), relay.HeaderMissing, header(signature.HeaderSignature)},
		"two nonces":      {twice, relay.HeaderDuplicated, header(signature.HeaderNonce)},
		"milliseconds":    {fetch().with(signature.HeaderTimestamp, "1700000000000"), relay.HeaderMalformed, header(signature.HeaderTimestamp)},
		"short nonce":     {fetch().with(signature.HeaderNonce, "0123456789abcde"), relay.HeaderMalformed, header(signature.HeaderNonce)},
		"base64":          {fetch().with(signature.HeaderSignature, "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="), relay.SignatureInvalid, relay.Error{}},
		"v1 to read":      {v1, relay.HeaderMalformed, header(signature.HeaderSignature)},
		"stale":           {s.k.fetchAt(time.Now().Add(-time.Hour), signature.NewNonce(), "{}"), relay.TimestampOutOfWindow, relay.Error{MaxSkewSeconds: 300}},
		"wrong secret":    {key{s.k.id, signature.NewSecret()}.fetch("{}"), relay.SignatureInvalid, relay.Error{}},
		"unknown key":     {key{signature.NewKeyID(signature.KindLive), s.k.secret}.fetch("{}"), relay.SignatureInvalid, relay.Error{}},
		"large headers":   {read("/api/links/quota").with("X-Padding", strings.Repeat("x", relay.MaxHeaderBytes)), relay.HeadersTooLarge, relay.Error{Limit: relay.MaxHeaderBytes}},
		"no such path":    {read("/api/links/nothing"), relay.NotFound, relay.Error{}},
		"no such method":  {s.k.call(http.MethodPut, "/api/links/fetch", "{}"), relay.MethodNotAllowed, relay.Error{}},
		"no such query":   {read("/api/links/quota?verbose=1"), relay.ValidationFailed, faults("/query/verbose", "is not a known parameter")},
		"too long a wait": {read("/api/links/jobs/" + s.job.ID + "?wait=26"), relay.ValidationFailed, faults("/query/wait", "must be a whole number between 0 and 25")},
		"no operator":     {request{http.MethodGet, "/api/admin/accounts/" + s.id, http.Header{"Authorization": {"Bearer " + adminToken}}, ""}, relay.NotFound, relay.Error{}},
	}
}

// faults are the errors of validation_failed, as pointers and reasons.
func faults(pairs ...string) (e relay.Error) {
	for pair := range slices.Chunk(pairs, 2) {
		e.Errors = append(e.Errors, relay.FieldError{Pointer: pair[0], Reason: pair[1]})
	}
	return e
}

// badBodies are of callers who proved themselves, or need not.
func (s *stage) badBodies() map[string]badRequest {
	fetch := func(body string) request { return s.k.fetch(body) }
	unread := fetch(jobBody("refused", somewhere))
	pointer := func(p string) relay.Error { return relay.Error{Pointer: p} }
	return map[string]badRequest{
		"no JSON":            {fetch(`{"idempotencyKey":`), relay.BodyMalformed, relay.Error{}},
		"two objects":        {fetch(jobBody("refused", somewhere) + "{}"), relay.BodyMalformed, relay.Error{}},
		"an array":           {fetch("[]"), relay.BodyMalformed, relay.Error{}},
		"no UTF-8":           {fetch("{\"source\":\"\xff\"}"), relay.BodyMalformed, relay.Error{}},
		"a name twice":       {fetch(`{"source":"a","source":"a"}`), relay.JSONDuplicateKey, pointer("/source")},
		"a name twice below": {fetch(`{"context":{"a":{"b":1,"b":2}}}`), relay.JSONDuplicateKey, pointer("/context/a/b")},
		"everything wrong": {fetch(`{"idempotencyKey":"","trackingUrl":"ftp://a.example/","source":7,"rowid":"7","expiresInSeconds":59}`), relay.ValidationFailed, faults(
			"/source", "must be a string", "/rowid", "is not a known name; did you mean \"rowId\"?",
			"/idempotencyKey", "is required and must not be empty", "/trackingUrl", "must be an absolute http or https URL",
			"/rowId", "is required and must not be empty", "/expiresInSeconds", "must be between 60 and 604800")},
		"private host":  {fetch(jobBody("refused", "http://169.254.169.254/latest/meta-data")), relay.URLNotAllowed, pointer("/trackingUrl")},
		"loopback":      {fetch(jobBody("refused", "http://0x7f.1/")), relay.URLNotAllowed, pointer("/trackingUrl")},
		"another link":  {fetch(jobBody("order", somewhere+"?other")), relay.IdempotencyMismatch, relay.Error{}},
		"too large":     {fetch(strings.Repeat("x", relay.MaxFetchBody+1)), relay.BodyTooLarge, relay.Error{Limit: relay.MaxFetchBody}},
		"body of a GET": {request{http.MethodGet, "/api/links/quota", unread.header, unread.body}.with(signature.HeaderSignature, "v2="+strings.Repeat("0", 64)), relay.BodyTooLarge, relay.Error{}},
		"a form":        {unread.with("Content-Type", "application/x-www-form-urlencoded"), relay.UnsupportedMediaType, relay.Error{}},
		"compressed":    {unread.with("Content-Encoding", "gzip"), relay.UnsupportedMediaType, relay.Error{}},
		"no link code": {request{http.MethodPost, "/api/desktop/link", jsonHeader(http.Header{}), `{"code":"ABCD-EFGH-JKMN-PQRS","name":"n","platform":"p"}`},
			relay.LinkCodeInvalid, relay.Error{}},
		"key without name": {s.d.signs().call(http.MethodPost, "/api/desktop/keys", `{"environment":"prod","scopes":["jobs:all"]}`), relay.ValidationFailed, faults(
			"/name", "is required and must not be empty", "/environment", "must be live or test", "/scopes/0", "is not a known scope")},
	}
}

// badKeys are good signatures of keys, or accounts, that may not do this.
func (s *stage) badKeys() map[string]badRequest {
	w, t := s.w, s.w.t
	revoked := s.d.key(client.KeySpec{})
	as[relay.KeyInventory](t, send(t, w.public(), s.d.signs().call(http.MethodDelete, "/api/desktop/keys/"+revoked.id, "")), http.StatusOK)
	soon := time.Now().Add(500 * time.Millisecond)
	expired := s.d.key(client.KeySpec{ExpiresAt: &soon})
	eventually(t, "expiry of a key", func() bool {
		return send(t, w.public(), expired.call(http.MethodGet, "/api/links/quota", "")).status != http.StatusOK
	})
	reader := s.d.key(client.KeySpec{Scopes: []relay.Scope{relay.ScopeJobsRead}})
	elsewhere := s.d.key(client.KeySpec{AllowedCIDRs: []string{"192.0.2.0/24"}})
	late := w.account(`"plan":"free"`)
	lateKey := late.link("d").key(client.KeySpec{})
	late.change(`"membership":{"state":"past_due"}`)
	ended := w.account(`"plan":"free"`)
	endedKey := ended.link("d").key(client.KeySpec{})
	ended.change(`"membership":{"state":"active","endsAt":"2020-01-01T00:00:00Z"}`)
	basic := w.account(`"plan":"basic"`).link("d").key(client.KeySpec{})
	body := jobBody("refused", somewhere)
	return map[string]badRequest{
		"revoked":             {revoked.fetch(body), relay.KeyRevoked, relay.Error{}},
		"expired":             {expired.fetch(body), relay.KeyExpired, relay.Error{}},
		"reader creates":      {reader.fetch(body), relay.ScopeMissing, relay.Error{}},
		"reader cancels":      {reader.call(http.MethodDelete, "/api/links/jobs/"+s.job.ID, ""), relay.ScopeMissing, relay.Error{}},
		"device as platform":  {s.d.signs().fetch(body), relay.ScopeMissing, relay.Error{}},
		"platform as device":  {s.k.call(http.MethodGet, "/api/desktop/jobs/stream", ""), relay.ScopeMissing, relay.Error{}},
		"from elsewhere":      {elsewhere.fetch(body), relay.IPNotAllowed, relay.Error{}},
		"membership past due": {lateKey.fetch(body), relay.MembershipInactive, relay.Error{}},
		"membership ended":    {endedKey.fetch(body), relay.MembershipInactive, relay.Error{}},
		"no API Links":        {basic.fetch(body), relay.PlanFeatureMissing, relay.Error{}},
	}
}

// badJobs are about jobs that are not there or not as one thinks.
func (s *stage) badJobs() map[string]badRequest {
	job := func(id string) relay.Error { return relay.Error{JobID: id} }
	other := s.w.account(`"plan":"free"`).link("d").key(client.KeySpec{}) // somebody else's
	stale := s.held
	stale.Lease = s.done.Lease
	return map[string]badRequest{
		"unknown job":        {s.k.call(http.MethodGet, "/api/links/jobs/"+s.unknownJob, ""), relay.NotFound, relay.Error{}},
		"no job id":          {s.k.call(http.MethodGet, "/api/links/jobs/7", ""), relay.NotFound, relay.Error{}},
		"unknown key":        {s.k.call(http.MethodGet, "/api/links/jobs?idempotencyKey=none", ""), relay.NotFound, relay.Error{}},
		"another's job":      {other.call(http.MethodGet, "/api/links/jobs/"+s.job.ID, ""), relay.NotFound, relay.Error{}},
		"cancels another's":  {other.call(http.MethodDelete, "/api/links/jobs/"+s.job.ID, ""), relay.NotFound, relay.Error{}},
		"replayed":           {s.captured, relay.NonceReplayed, job(s.job.ID)},
		"stale lease":        {s.d.acts(stale, "complete", `"result":1`), relay.LeaseLost, job(s.held.JobID)},
		"extends what is":    {s.d.acts(s.done, "extend"), relay.JobFinal, job(s.done.JobID)},
		"fails what is done": {s.d.acts(s.done, "fail", `"error":"x"`), relay.JobFinal, job(s.done.JobID)},
		"cancels what is":    {s.k.call(http.MethodDelete, "/api/links/jobs/"+s.done.JobID, ""), relay.JobFinal, job(s.done.JobID)},
	}
}

// A refusal for the clock tells both clocks, so that its reader sees which is off.
func TestStaleTimestampTellsTheClocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "RELAY_MAX_SKEW=1m")
	k := w.account("").link("desktop").key(client.KeySpec{})
	at := time.Now().Add(-61 * time.Second)
	e := refused(t, send(t, w.public(), k.fetchAt(at, signature.NewNonce(), jobBody("order", somewhere))), relay.TimestampOutOfWindow)
	if off := time.Since(time.Unix(e.ServerTime, 0)); off < 0 || off > 10*time.Second {
		t.Errorf("serverTime %d is %v ago", e.ServerTime, off)
	}
	if e.ReceivedTimestamp != strconv.FormatInt(at.Unix(), 10) || e.MaxSkewSeconds != 60 {
		t.Errorf("receivedTimestamp %q, maxSkewSeconds %d", e.ReceivedTimestamp, e.MaxSkewSeconds)
	}
	as[relay.Job](t, send(t, w.public(), k.fetchAt(time.Now().Add(-50*time.Second), signature.NewNonce(), jobBody("order", somewhere))), http.StatusAccepted)
}

// The refusals that name windows, with the RateLimit fields beside them.
func TestLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	for name, limit := range map[string]struct {
		limits string
		code   relay.Code
		window []string
		state  string // of RateLimit when nothing is left, up to its reset
	}{
		"minute":  {`"perMinute":1,"perDay":0,"perMonth":0,"maxBacklog":0`, relay.RateLimited, []string{"minute"}, `"minute";r=0;t=`},
		"day":     {`"perMinute":0,"perDay":1,"perMonth":0,"maxBacklog":0`, relay.QuotaExceeded, []string{"day"}, `"day";r=0;t=`},
		"month":   {`"perMinute":0,"perDay":0,"perMonth":1,"maxBacklog":0`, relay.QuotaExceeded, []string{"month"}, `"month";r=0;t=`},
		"backlog": {`"perMinute":0,"perDay":0,"perMonth":0,"maxBacklog":1`, relay.BacklogFull, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			k := w.account(`"plan":"business","limits":{` + limit.limits + `}`).link("desktop").key(client.KeySpec{})
			first := send(t, w.public(), k.fetch(jobBody("order-1", somewhere)))
			as[relay.Job](t, first, http.StatusAccepted)
			second := send(t, w.public(), k.fetch(jobBody("order-2", somewhere)))
			e := refused(t, second, limit.code)
			if !slices.Equal(e.Windows, limit.window) {
				t.Errorf("windows %q, want %q", e.Windows, limit.window)
			}
			for _, a := range []answer{first, second} {
				if state := a.header.Get("RateLimit"); !strings.HasPrefix(state, limit.state) || (state == "") != (limit.state == "") {
					t.Errorf("RateLimit: %s, want it to begin with %s", state, limit.state)
				}
				if policy := a.header.Get("RateLimit-Policy"); limit.state != "" && !strings.HasPrefix(policy, `"`+name+`";q=1;w=`) {
					t.Errorf("RateLimit-Policy: %s", policy)
				}
			}
			replay := send(t, w.public(), k.fetch(jobBody("order-1", somewhere))) // what is known needs no room
			as[relay.Job](t, replay, http.StatusAccepted)
			if replay.header.Get("Idempotent-Replayed") != "true" {
				t.Error("a retry was not recognised")
			}
		})
	}
}

// What is damaged in Redis is our fault, and nobody learns more than that.
func TestInternalErrorTellsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.damaged = true
	s := w.stage()
	if err := w.redis.Client(t).Set(t.Context(), "lr:key:"+s.k.id, "damaged", 0).Err(); err != nil {
		t.Fatal(err)
	}
	fresh := w.serve() // which has no key in memory
	e := refused(t, send(t, fresh.public, s.k.fetch(jobBody("order", somewhere))), relay.InternalError)
	if want := "the request could not be completed; the log has the reason under this requestId"; e.Detail != want {
		t.Errorf("detail %q, want %q", e.Detail, want)
	}
	if !strings.Contains(string(fresh.log.bytes()), e.RequestID) {
		t.Error("the log does not have the request")
	}
}

// A 202 that Redis cannot confirm as it was asked to is none.
func TestDurabilityUnconfirmed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "RELAY_DURABILITY=replica")
	k := w.account("").link("desktop").key(client.KeySpec{})
	r := k.fetch(jobBody("order", somewhere))
	for range 2 { // sent again, it is neither a replay nor suddenly confirmed
		refused(t, send(t, w.public(), r), relay.DurabilityUnconfirmed)
	}
}

// A replica that drains takes no new streams, says that it is not ready, and
// still serves what comes meanwhile.
func TestDrainingReplica(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, "RELAY_DRAIN=5s")
	leaving := w.serveProcess()
	w.replicas = []*replica{leaving}
	d := w.account("").link("desktop")
	k := d.key(client.KeySpec{})
	frames := d.frames(leaving.public, 1)
	leaving.signal(syscall.SIGTERM)
	if drain := frame[relay.Drain](t, frames, relay.FrameDrain); drain.ReconnectAfterMS < 0 || drain.ReconnectAfterMS > 1000 {
		t.Errorf("reconnectAfterMs %d, want it spread over a fifth of the drain", drain.ReconnectAfterMS)
	}
	refused(t, send(t, leaving.public, d.signs().call(http.MethodGet, "/api/desktop/jobs/stream", "")), relay.Draining)
	if ready := probe(t, leaving.public, "/readyz"); ready.status != http.StatusServiceUnavailable || !strings.Contains(string(ready.body), `"serving":"draining"`) {
		t.Errorf("readyz: %d %s", ready.status, ready.body)
	}
	as[relay.Job](t, send(t, leaving.public, k.fetch(jobBody("order", somewhere))), http.StatusAccepted)
	if bye := frame[relay.Bye](t, frames, relay.FrameBye); bye.Code != "draining" {
		t.Errorf("bye %+v", bye)
	}
	<-leaving.ended
	if code := leaving.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit %d", code)
	}
}
