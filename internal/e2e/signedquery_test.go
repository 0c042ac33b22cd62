package e2e_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"linkrelay/client"
	"linkrelay/relay"
	"linkrelay/signature"
)

// queryKey is a key that signs URLs, and may create jobs with them.
var queryKey = client.KeySpec{
	Schemes: []relay.Scheme{relay.SchemeSignedQuery},
	Scopes:  []relay.Scope{relay.ScopeJobsCreateQuery, relay.ScopeJobsRead, relay.ScopeJobsCancel},
}

// reads is a GET of the target with a signed query.
func (k key) reads(target string) request {
	return request{http.MethodGet, joinQuery(target, k.signer().ReadQuery(time.Now().Add(5*time.Minute))), nil, ""}
}

// creates is a GET that creates a job.
func (k key) creates(j signature.QueryJob) request {
	return request{http.MethodGet, joinQuery("/api/links/fetch", k.signer().CreateQuery(time.Now().Add(5*time.Minute), j)), nil, ""}
}

func joinQuery(target, query string) string {
	if strings.Contains(target, "?") {
		return target + "&" + query
	}
	return target + "?" + query
}

// in returns the request with another text in its target, once.
func (r request) in(t *testing.T, old, text string) request {
	t.Helper()
	if !strings.Contains(r.target, old) {
		t.Fatalf("no %q in %s", old, r.target)
	}
	r.target = strings.Replace(r.target, old, text, 1)
	return r
}

// handmade is a query signed without our signer: the MAC of the lines, as raw bytes.
func (k key) handmade(algorithm func() hash.Hash, lines ...string) []byte {
	mac := hmac.New(algorithm, []byte(k.secret))
	fmt.Fprint(mac, strings.Join(lines, "\n"))
	return mac.Sum(nil)
}

func row(n int) signature.QueryJob {
	return signature.QueryJob{IdempotencyKey: fmt.Sprint("order-", n), TrackingURL: somewhere + "?a=1&b=%C3%BC|+&c=ü", Source: "moz & co", RowID: fmt.Sprintf("Zeile %d · äöü", n)}
}

// A URL alone creates a job and reads it: whoever opens it, once or often.
func TestSignedQuery(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	a := w.account("")
	d := a.link("desktop")
	k := d.key(queryKey)
	create := k.creates(row(1))
	browser := http.Header{
		"User-Agent": {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}, "Accept": {"text/html,application/xhtml+xml,*/*;q=0.8"},
		"Accept-Language": {"de"}, "Cookie": {"session=1"}, "Upgrade-Insecure-Requests": {"1"}, "Sec-Fetch-Mode": {"navigate"},
	}
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}} // curl -d ''
	made := as[relay.Job](t, send(t, w.public(), create), http.StatusAccepted)
	if made.IdempotencyKey != "order-1" || made.Source != "moz & co" || made.RowID != "Zeile 1 · äöü" {
		t.Errorf("made %+v", made)
	}
	for name, r := range map[string]request{
		"again":        create,
		"by a browser": {http.MethodGet, create.target, browser, ""},
		"by POST":      {http.MethodPost, create.target, nil, ""},
		"by curl -d":   {http.MethodPost, create.target, form, ""},
		"signed anew":  k.creates(row(1)),
	} {
		got := send(t, w.public(), r)
		if same := as[relay.Job](t, got, http.StatusAccepted); same.ID != made.ID || got.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s: job %s, want %s; Idempotent-Replayed %q", name, same.ID, made.ID, got.header.Get("Idempotent-Replayed"))
		}
	}
	frames := d.frames(w.public(), 1)
	offer := jobFrame(t, frames)
	if offer.TrackingURL != row(1).TrackingURL {
		t.Errorf("the desktop gets %s", offer.TrackingURL)
	}
	for _, target := range []string{"/api/links/jobs/" + made.ID, "/api/links/jobs?idempotencyKey=order-1&wait=0"} {
		read := k.reads(target)
		for range 2 { // it has no nonce: it holds until Expires
			if got := as[relay.Job](t, send(t, w.public(), read), http.StatusOK); got.ID != made.ID {
				t.Errorf("read job %s, want %s", got.ID, made.ID)
			}
		}
	}
	if q := as[relay.QuotaStatus](t, send(t, w.public(), k.reads("/api/links/quota")), http.StatusOK); q.AccountID != a.id {
		t.Errorf("quota %+v", q)
	}
	as[relay.Job](t, send(t, w.public(), d.acts(offer, "accept")), http.StatusOK)
	as[relay.Job](t, send(t, w.public(), d.acts(offer, "complete", `"result":7`)), http.StatusOK)
	if done := as[relay.Job](t, send(t, w.public(), create), http.StatusOK); string(done.Result) != "7" {
		t.Errorf("done: %+v", done)
	}
}

// Every way to write one and the same signature.
func TestSignedQueryWritings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	d := w.account("").link("desktop")
	k := d.key(queryKey)
	old := queryKey
	old.AllowSHA1 = true
	sha1Key := d.key(old)

	// A time whose MAC has a plus and a slash in base64.
	expires, mac := time.Now().Add(2*time.Minute).Unix(), []byte(nil)
	for plain := ""; !strings.Contains(plain, "+") || !strings.Contains(plain, "/"); expires++ {
		mac = k.handmade(sha256.New, k.id, strconv.FormatInt(expires+1, 10))
		plain = base64.StdEncoding.EncodeToString(mac)
	}
	plain := base64.StdEncoding.EncodeToString(mac)
	old1 := sha1Key.handmade(sha1.New, sha1Key.id, strconv.FormatInt(expires, 10))
	for name, c := range map[string]struct {
		k         key
		parameter string
	}{
		"escaped":                {k, "Signature=" + url.QueryEscape(plain)},
		"lower-case escapes":     {k, "Signature=" + strings.NewReplacer("+", "%2b", "/", "%2f", "=", "%3d").Replace(plain)},
		"every byte escaped":     {k, "Signature=" + escapeAll(plain)},
		"not escaped":            {k, "Signature=" + plain},
		"space for plus":         {k, "Signature=" + strings.NewReplacer("+", "%20", "/", "%2F", "=", "%3D").Replace(plain)},
		"the builder's name":     {k, "signedAuthentication=" + url.QueryEscape(plain)},
		"no padding":             {k, "Signature=" + url.QueryEscape(strings.TrimRight(plain, "="))},
		"URL-safe":               {k, "Signature=" + base64.URLEncoding.EncodeToString(mac)},
		"hex":                    {k, "Signature=" + hex.EncodeToString(mac)},
		"hex in upper case":      {k, "signedAuthentication=" + strings.ToUpper(hex.EncodeToString(mac))},
		"SHA-1":                  {sha1Key, "Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(old1))},
		"SHA-1 in hex":           {sha1Key, "Signature=" + hex.EncodeToString(old1)},
		"SHA-256 of a SHA-1 key": {sha1Key, "Signature=" + hex.EncodeToString(sha1Key.handmade(sha256.New, sha1Key.id, strconv.FormatInt(expires, 10)))},
	} {
		target := fmt.Sprintf("/api/links/quota?AccessID=%s&Expires=%d&%s", c.k.id, expires, c.parameter)
		if got := send(t, w.public(), request{http.MethodGet, target, nil, ""}); got.status != http.StatusOK {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	// HMAC-SHA1 is for keys that were created to allow it.
	weak := k.handmade(sha1.New, k.id, strconv.FormatInt(expires, 10))
	target := fmt.Sprintf("/api/links/quota?AccessID=%s&Expires=%d&Signature=%x", k.id, expires, weak)
	badRequest{request{http.MethodGet, target, nil, ""}, relay.SignatureInvalid, diagnosed(t, "sha1-not-allowed")}.judge(t, send(t, w.public(), request{http.MethodGet, target, nil, ""}))
}

// escapeAll writes every byte as a percent-escape.
func escapeAll(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02x", s[i])
	}
	return b.String()
}

// Whatever is wrong with a signed URL has its code and names the parameter, and
// nothing of it takes effect.
func TestSignedQueryRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	a := w.account("")
	d := a.link("desktop")
	k := d.key(queryKey)
	reader := d.key(client.KeySpec{Schemes: queryKey.Schemes, Scopes: []relay.Scope{relay.ScopeJobsCreate, relay.ScopeJobsRead}})
	headers := d.key(client.KeySpec{Scopes: queryKey.Scopes}) // link-peeler alone
	creates := func() request { return k.creates(row(1)) }
	until := func(expires time.Time) request {
		return request{http.MethodGet, "/api/links/fetch?" + k.signer().CreateQuery(expires, row(1)), nil, ""}
	}
	broken := row(1)
	broken.RowID = "7\nx"
	pointer := func(p string) relay.Error { return relay.Error{Pointer: p} }
	for name, c := range map[string]badRequest{
		"no Expires":            {creates().in(t, "Expires=", "expires="), relay.HeaderMissing, pointer("/query/Expires")},
		"no Signature":          {creates().in(t, "&Signature=", "&sig="), relay.HeaderMissing, pointer("/query/Signature")},
		"no AccessID":           {creates().in(t, "AccessID=", "accessid="), relay.HeaderMissing, pointer("/query/AccessID")},
		"empty Signature":       {creates().in(t, "Signature=", "Signature=&x="), relay.HeaderMissing, pointer("/query/Signature")},
		"two AccessIDs":         {creates().in(t, "AccessID=", "AccessID=x&AccessID="), relay.HeaderDuplicated, pointer("/query/AccessID")},
		"both names":            {creates().in(t, "Signature=", "signedAuthentication=x&Signature="), relay.HeaderDuplicated, pointer("/query/Signature")},
		"milliseconds":          {creates().in(t, "Expires=", "Expires=123"), relay.HeaderMalformed, pointer("/query/Expires")},
		"signed time":           {creates().in(t, "Expires=1", "Expires=%2B1"), relay.HeaderMalformed, pointer("/query/Expires")},
		"half a signature":      {creates().in(t, "Signature=", "Signature=AAAA&x="), relay.HeaderMalformed, pointer("/query/Signature")},
		"broken escape":         {creates().in(t, "Signature=", "Signature=%zz"), relay.HeaderMalformed, pointer("/query/Signature")},
		"expired":               {until(time.Now().Add(-2 * time.Second)), relay.TimestampOutOfWindow, relay.Error{MaxSkewSeconds: 600}},
		"too far ahead":         {until(time.Now().Add(605 * time.Second)), relay.TimestampOutOfWindow, relay.Error{MaxSkewSeconds: 600}},
		"another link":          {creates().in(t, "trackingUrl=https%3A%2F%2Fclick", "trackingUrl=https%3A%2F%2Fclock"), relay.SignatureInvalid, relay.Error{}},
		"another row":           {creates().in(t, "rowId=Zeile+1", "rowId=Zeile+2"), relay.SignatureInvalid, relay.Error{}},
		"another time":          {k.reads("/api/links/quota").longer(t), relay.SignatureInvalid, relay.Error{}},
		"wrong secret":          {key{k.id, signature.NewSecret()}.creates(row(1)), relay.SignatureInvalid, relay.Error{}},
		"unknown key":           {key{signature.NewKeyID(signature.KindLive), k.secret}.creates(row(1)), relay.SignatureInvalid, relay.Error{}},
		"signed for reading":    {k.reads("/api/links/fetch?idempotencyKey=order-1&source=x&rowId=7&trackingUrl=" + url.QueryEscape(somewhere)), relay.SignatureInvalid, diagnosed(t, "reading-base")},
		"signed for creating":   {creates().in(t, "/api/links/fetch?idempotencyKey=order-1", "/api/links/jobs?idempotencyKey=order-1"), relay.SignatureInvalid, diagnosed(t, "creating-base")},
		"without the scope":     {reader.creates(row(1)), relay.ScopeMissing, relay.Error{}},
		"without the scheme":    {headers.creates(row(1)), relay.SchemeNotAllowed, relay.Error{}},
		"link-peeler instead":   {k.fetch(jobBody("order-1", somewhere)), relay.SchemeNotAllowed, relay.Error{}},
		"unknown parameter":     {creates().in(t, "/fetch?", "/fetch?priority=9&"), relay.ValidationFailed, faults("/query/priority", "is not a known parameter")},
		"mis-cased parameter":   {creates().in(t, "/fetch?", "/fetch?RowId=9&"), relay.ValidationFailed, faults("/query/RowId", "is not a known parameter")},
		"repeated parameter":    {creates().in(t, "/fetch?", "/fetch?idempotencyKey=order-1&"), relay.ValidationFailed, faults("/query/idempotencyKey", "must be sent once")},
		"job's when reading":    {k.reads("/api/links/quota?rowId=7"), relay.ValidationFailed, faults("/query/rowId", "is not a known parameter")},
		"a control character":   {k.creates(broken), relay.ValidationFailed, faults("/query/rowId", "must hold printable characters only")},
		"values left out":       {k.creates(signature.QueryJob{TrackingURL: "ftp://a.example/"}), relay.ValidationFailed, faults("/query/idempotencyKey", "is required and must not be empty", "/query/trackingUrl", "must be an absolute http or https URL", "/query/source", "is required and must not be empty", "/query/rowId", "is required and must not be empty")},
		"cancelling":            {request{http.MethodDelete, k.reads("/api/links/jobs/job_0123456789ABCDEFabc").target, nil, ""}, relay.HeaderMalformed, pointer("/query/AccessID")},
		"GET without signature": {request{http.MethodGet, "/api/links/fetch?idempotencyKey=order-1", nil, ""}, relay.MethodNotAllowed, relay.Error{}},
		"with a body":           {request{http.MethodPost, creates().target, jsonHeader(http.Header{}), "{}"}, relay.BodyTooLarge, relay.Error{}},
	} {
		t.Run(name, func(t *testing.T) { c.judge(t, send(t, w.public(), c.request)) })
	}
	if q := a.queue(); q.Waiting != 0 {
		t.Errorf("%d jobs wait: something that was refused took effect", q.Waiting)
	}
	as[relay.Job](t, send(t, w.public(), until(time.Now().Add(595*time.Second))), http.StatusAccepted)
	if e := refused(t, send(t, w.public(), k.creates(signature.QueryJob{IdempotencyKey: "order-1", TrackingURL: somewhere, Source: "x", RowID: "8"})), relay.IdempotencyMismatch); e.Pointer != "" {
		t.Errorf("pointer %q", e.Pointer)
	}
}

// longer lets a signed URL live a second longer.
func (r request) longer(t *testing.T) request {
	t.Helper()
	_, rest, _ := strings.Cut(r.target, "Expires=")
	expires, _, _ := strings.Cut(rest, "&")
	n, err := strconv.ParseInt(expires, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return r.in(t, expires, strconv.FormatInt(n+1, 10))
}
