package handler_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"linkrelay/handler"
	"linkrelay/relay"
	"linkrelay/signature"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeStore knows two keys and does what a test tells it. A call that a test
// did not provide for panics on the nil Store, which shows as a 500.
type fakeStore struct {
	handler.Store
	credentials map[string]*relay.Credential
	remembered  map[string]*relay.Credential // what a look-up is spared for
	lookups     atomic.Int64
	lookupErr   error
	ping        func() error
	used        atomic.Value // the secret id that verified last
	admit       func(relay.Caller, *relay.JobRequest) (relay.Admission, error)
	check       func(relay.Caller, *relay.JobRequest) (relay.Admission, error)
	rotate      func(keyID, secret string, grace time.Duration) (relay.Key, error)
	job         func(relay.Caller, string, time.Duration) (relay.Job, error)
	act         func(relay.Caller, relay.Action) (relay.Job, error)
	connect     func(maxInFlight int) (relay.Session, error)
	createKey   func(relay.KeySpec) (relay.Key, error)
	link        func(string, relay.DeviceSpec) (string, error)
	account     func(string, relay.AccountChange) (relay.Account, error)
	linkCode    func(account, code string, ttl time.Duration) (relay.LinkCode, error)
}

func (s *fakeStore) Credential(ctx context.Context, id string) (*relay.Credential, bool, error) {
	if c := s.remembered[id]; c != nil {
		return c, true, nil
	}
	c, err := s.FreshCredential(ctx, id)
	return c, false, err
}

func (s *fakeStore) FreshCredential(_ context.Context, id string) (*relay.Credential, error) {
	s.lookups.Add(1)
	if s.lookupErr != nil {
		return nil, s.lookupErr
	}
	if c, ok := s.credentials[id]; ok {
		return c, nil
	}
	return nil, relay.ErrUnknownKey
}

func (s *fakeStore) Used(c *relay.Credential, i int, _ time.Time) { s.used.Store(c.SecretIDs[i]) }

func (s *fakeStore) Check(_ context.Context, by relay.Caller, r *relay.JobRequest) (relay.Admission, error) {
	return s.check(by, r)
}

func (s *fakeStore) RotateKey(_ context.Context, _ relay.Caller, keyID, secret string, grace time.Duration) (relay.Key, error) {
	return s.rotate(keyID, secret, grace)
}

func (s *fakeStore) Ping(context.Context) error { return s.ping() }

func (s *fakeStore) Admit(_ context.Context, by relay.Caller, r *relay.JobRequest) (relay.Admission, error) {
	return s.admit(by, r)
}

func (s *fakeStore) Job(_ context.Context, by relay.Caller, id string, wait time.Duration) (relay.Job, error) {
	return s.job(by, id, wait)
}

func (s *fakeStore) JobByKey(_ context.Context, by relay.Caller, key string, wait time.Duration) (relay.Job, error) {
	return s.job(by, key, wait)
}

func (s *fakeStore) Act(_ context.Context, by relay.Caller, a relay.Action) (relay.Job, error) {
	return s.act(by, a)
}

func (s *fakeStore) Connect(_ context.Context, _ relay.Caller, n int) (relay.Session, error) {
	return s.connect(n)
}

func (s *fakeStore) CreateKey(_ context.Context, _ relay.Caller, k relay.KeySpec) (relay.Key, error) {
	return s.createKey(k)
}

func (s *fakeStore) Link(_ context.Context, code string, d relay.DeviceSpec) (string, error) {
	return s.link(code, d)
}

func (s *fakeStore) CreateAccount(_ context.Context, id string, c relay.AccountChange) (relay.Account, error) {
	return s.account(id, c)
}

func (s *fakeStore) ChangeAccount(_ context.Context, id string, c relay.AccountChange) (relay.Account, error) {
	return s.account(id, c)
}

func (s *fakeStore) CreateLinkCode(_ context.Context, account, code string, ttl time.Duration) (relay.LinkCode, error) {
	return s.linkCode(account, code, ttl)
}

// The parties of every test.
var (
	platform = signature.Signer{KeyID: signature.NewKeyID(signature.KindLive), Secret: signature.NewSecret()}
	device   = signature.Signer{KeyID: signature.NewKeyID(signature.KindDevice), Secret: signature.NewSecret()}
	jobID    = relay.JobID(relay.JobRef("acme", "k1"), time.UnixMilli(1_700_000_000_000))
)

const (
	adminToken = "an-operator-token-for-tests"
	goodBody   = `{"idempotencyKey":"k1","trackingUrl":"https://example.com/a?b=c","source":"crm","rowId":"7"}`
)

// newStore returns a store that knows platform and device, and admits.
func newStore() *fakeStore {
	return &fakeStore{
		credentials: map[string]*relay.Credential{
			platform.KeyID: {KeyID: platform.KeyID, Account: "acme", Secrets: []string{platform.Secret}, SecretIDs: []string{relay.SecretID(platform.KeyID, 1)},
				Schemes: []relay.Scheme{relay.SchemeLinkPeeler}, Scopes: relay.DefaultScopes},
			device.KeyID: {KeyID: device.KeyID, Account: "acme", DeviceID: "dev_1", Secrets: []string{device.Secret}, SecretIDs: []string{relay.SecretID(device.KeyID, 1)}},
		},
		ping: func() error { return nil },
		admit: func(_ relay.Caller, r *relay.JobRequest) (relay.Admission, error) {
			return relay.Admission{Job: relay.Job{ID: jobID, State: relay.Queued, IdempotencyKey: r.IdempotencyKey, Source: r.Source, RowID: r.RowID}}, nil
		},
	}
}

func newHandler(t testing.TB, s *fakeStore, o handler.Options, log *zap.Logger) *handler.Handler {
	t.Helper()
	o.AdminToken = adminToken
	if log == nil {
		log = zap.NewNop()
	}
	h, err := handler.New(o, s, log)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// signed returns a request signed with v2.
func signed(by signature.Signer, method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	by.Sign(r, []byte(body))
	return r
}

func fetch(body string) *http.Request { return signed(platform, "POST", "/api/links/fetch", body) }

func asOperator(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	return r
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func problem(t testing.TB, w *httptest.ResponseRecorder) relay.Error {
	t.Helper()
	var e relay.Error
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
		t.Fatalf("not a problem document: %v: %d %q", err, w.Code, w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q", got)
	}
	if e.RequestID == "" || e.RequestID != w.Header().Get("X-Request-Id") {
		t.Errorf("requestId %q, header %q", e.RequestID, w.Header().Get("X-Request-Id"))
	}
	if e.Status != w.Code {
		t.Errorf("status member %d, status %d", e.Status, w.Code)
	}
	return e
}

// wantProblem checks the code of a refusal and returns it.
func wantProblem(t testing.TB, w *httptest.ResponseRecorder, code relay.Code) relay.Error {
	t.Helper()
	e := problem(t, w)
	if e.Code != code {
		t.Errorf("code %s (%s), want %s", e.Code, e.Detail, code)
	}
	return e
}

func decode[T any](t testing.TB, w *httptest.ResponseRecorder, status int) (v T) {
	t.Helper()
	if w.Code != status {
		t.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// listen serves a handler on a real socket, as main does.
func listen(t testing.TB, h http.Handler) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := handler.Server(h, zap.NewNop())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// overWire sends raw bytes and returns everything that comes back until the
// server closes.
func overWire(t testing.TB, address, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	go func() { _, _ = io.WriteString(c, request) }()
	var answer bytes.Buffer
	if _, err := io.Copy(&answer, c); err != nil {
		t.Fatalf("%v after %q", err, answer.String())
	}
	return answer.String()
}

// sha1Query is a reading query signed with HMAC-SHA1, as old dashboards do.
func sha1Query(by signature.Signer, expires time.Time) string {
	at := strconv.FormatInt(expires.Unix(), 10)
	mac := hmac.New(sha1.New, []byte(by.Secret))
	mac.Write([]byte(by.KeyID + "\n" + at))
	return "AccessID=" + by.KeyID + "&Expires=" + at + "&signedAuthentication=" + url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
