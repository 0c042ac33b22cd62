package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"go.uber.org/zap"

	"linkrelay/handler"
	"linkrelay/relay"
	"linkrelay/signature"
)

// rehearse puts the request before the relay's own handler, whose clock shows
// a time at which the request is fresh. It returns what the relay would refuse
// it with, nil when it would come as far as the store.
func (d *doctor) rehearse() (*relay.Error, error) {
	store := &rehearsal{credential: d.credential()}
	h, err := handler.New(handler.Options{Clock: func() time.Time { return d.proof.Timestamp }}, store, zap.NewNop())
	if err != nil {
		return nil, err
	}
	r := &http.Request{
		Method: d.method, RequestURI: d.target, Header: d.header, Host: "relay", RemoteAddr: "127.0.0.1:1",
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(d.body)), Body: io.NopCloser(bytes.NewReader(d.body)),
	}
	if r.URL, err = url.ParseRequestURI(d.target); err != nil {
		return nil, usageError{errors.New("--url is not a URL: something in it is not percent-encoded as it must be")}
	}
	answer := &recorder{header: http.Header{}}
	h.Public().ServeHTTP(answer, r)
	if store.reached || answer.status < http.StatusBadRequest {
		return nil, nil
	}
	refusal := new(relay.Error)
	if err := json.Unmarshal(answer.body.Bytes(), refusal); err != nil {
		return nil, fmt.Errorf("the relay's own answer cannot be read: %w", err)
	}
	return refusal, nil
}

// credential is what a relay would know about the key: as much as its owner
// knows, and where that is nothing, that it may do everything.
func (d *doctor) credential() *relay.Credential {
	c := &relay.Credential{
		KeyID: d.proof.KeyID, Account: "account", Secrets: []string{d.key.Secret}, SecretIDs: []string{relay.SecretID(d.proof.KeyID, 1)},
		Schemes: d.key.Schemes, Scopes: d.key.Scopes, AllowSHA1: d.key.AllowSHA1,
	}
	if len(c.Schemes) == 0 {
		c.Schemes = []relay.Scheme{relay.SchemeLinkPeeler, relay.SchemeIklim, relay.SchemeSignedQuery}
		c.Scopes = slices.Concat(relay.DefaultScopes, []relay.Scope{relay.ScopeJobsCreateQuery})
		c.AllowSHA1 = true
	}
	if kind, _ := signature.ParseKeyID(c.KeyID); kind == signature.KindDevice {
		c.DeviceID = "device"
	}
	return c
}

// rehearsal is a store that knows one key, and of everything else only that a
// request came so far.
type rehearsal struct {
	handler.Store // the operators' methods, which no public route calls
	credential    *relay.Credential
	reached       bool
}

var errRehearsal = errors.New("a rehearsal ends here")

func (s *rehearsal) here() error {
	s.reached = true
	return errRehearsal
}

func (s *rehearsal) Credential(context.Context, string) (*relay.Credential, bool, error) {
	return s.credential, false, nil
}
func (s *rehearsal) Used(*relay.Credential, int, time.Time) {}

func (s *rehearsal) Admit(context.Context, relay.Caller, *relay.JobRequest) (a relay.Admission, err error) {
	return a, s.here()
}

func (s *rehearsal) Check(context.Context, relay.Caller, *relay.JobRequest) (a relay.Admission, err error) {
	return a, s.here()
}

func (s *rehearsal) Job(context.Context, relay.Caller, string, time.Duration) (j relay.Job, err error) {
	return j, s.here()
}

func (s *rehearsal) JobByKey(context.Context, relay.Caller, string, time.Duration) (j relay.Job, err error) {
	return j, s.here()
}

func (s *rehearsal) Cancel(context.Context, relay.Caller, string) (j relay.Job, err error) {
	return j, s.here()
}

func (s *rehearsal) Quota(context.Context, relay.Caller) (q relay.QuotaStatus, err error) {
	return q, s.here()
}

func (s *rehearsal) Connect(context.Context, relay.Caller, int) (relay.Session, error) {
	return nil, s.here()
}

func (s *rehearsal) Act(context.Context, relay.Caller, relay.Action) (j relay.Job, err error) {
	return j, s.here()
}

func (s *rehearsal) CreateKey(context.Context, relay.Caller, relay.KeySpec) (k relay.Key, err error) {
	return k, s.here()
}

func (s *rehearsal) KeyInventory(context.Context, relay.Caller) (i relay.KeyInventory, err error) {
	return i, s.here()
}

func (s *rehearsal) RevokeKey(context.Context, relay.Caller, string) (i relay.KeyInventory, err error) {
	return i, s.here()
}

func (s *rehearsal) RotateKey(context.Context, relay.Caller, string, string, time.Duration) (k relay.Key, err error) {
	return k, s.here()
}

// recorder keeps an answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }
func (r *recorder) WriteHeader(s int)   { r.status = s }

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.body.Write(b)
}
