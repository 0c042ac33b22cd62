package relay_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"linkrelay/relay"
)

// FuzzJobID: an id that parses renders back to itself, and parsing never panics.
func FuzzJobID(f *testing.F) {
	f.Add(relay.JobID(relay.JobRef("acme", "k"), time.UnixMilli(1795293772984)))
	f.Add("job_0000000000000000" + "0")
	f.Add("job_")
	f.Add("job_zzzzzzzzzzzzzzzzzzzzzzzzzz")
	f.Fuzz(func(t *testing.T, id string) {
		ref, created, ok := relay.ParseJobID(id)
		if ok && relay.JobID(ref, created) != id {
			t.Errorf("%q parsed to %q, %s, which is %q", id, ref, created, relay.JobID(ref, created))
		}
	})
}

func TestJobIDNamesOneJob(t *testing.T) {
	created := time.UnixMilli(1795293772984).UTC()
	ref := relay.JobRef("acme", "k")
	if len(ref) != relay.JobRefLen {
		t.Fatalf("ref %q", ref)
	}
	gotRef, gotCreated, ok := relay.ParseJobID(relay.JobID(ref, created))
	if !ok || gotRef != ref || !gotCreated.Equal(created) {
		t.Errorf("parsed to %q, %s, %t", gotRef, gotCreated, ok)
	}
	seen := map[string]string{}
	for _, pair := range [][2]string{{"acme", "k"}, {"acm", "ek"}, {"acme", "k2"}, {"acme\x00", "k"}, {"acm", "e\x00k"}} {
		r := relay.JobRef(pair[0], pair[1])
		if other, taken := seen[r]; taken && other != fmt.Sprint(pair) {
			t.Errorf("%q and %q share a ref", other, pair)
		}
		seen[r] = fmt.Sprint(pair)
	}
	for _, bad := range []string{"", "job_", "job_" + ref, "JOB_" + ref + "1", "job_" + ref + "1!", "job_" + ref + "111111111", "job_" + ref + "01", " job_" + ref + "1"} {
		if _, _, ok := relay.ParseJobID(bad); ok {
			t.Errorf("%q parses", bad)
		}
	}
}

func TestPublicHost(t *testing.T) {
	for host, want := range map[string]bool{
		"example.com": true, "example.com.": true, "EXAMPLE.com": true, "xn--bcher-kva.example": true, "bücher.example": true,
		"8.8.8.8": true, "2606:4700:4700::1111": true, "a_b.example.com": true, "10.example.com": true, "1e100.net": true,
		"localhost": false, "LOCALHOST.": false, "x-.ｌｏｃａｌｈｏｓｔ": false, "x.ｌｏｃａｌｈｏｓｔ": false, "x\u0378.localhost": false, "☕.example": true, "x-.bücher.example": true, "x.localhost": false, "metadata": false, "metadata.google.internal": false,
		"printer.local": false, "redis": false, "": false, ".": false,
		"127.0.0.1": false, "127.1": false, "0177.0.0.1": false, "0x7f.0.0.1": false, "2130706433": false, "0x7f000001": false,
		"017700000001": false, "127.0.0.1.": false, "１２７.0.0.1": false, "0": false, "0.0.0.0": false, "255.255.255.255": false,
		"10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false, "100.100.100.200": false,
		"::1": false, "::": false, "fe80::1": false, "fe80::1%eth0": false, "fd00::1": false, "ff02::1": false, "fec0::1": false,
		"::ffff:127.0.0.1": false, "::ffff:7f00:1": false, "::127.0.0.1": false, "64:ff9b::7f00:1": false, "64:ff9b::808:808": true,
		"2002:7f00:1::": false, "2002:808:808::": true, "2001:0:1::1": false, "fd00:ec2::254": false, "168.63.129.16": false, "168.63.129.17": true,
	} {
		if got := relay.PublicHost(host); got != want {
			t.Errorf("PublicHost(%q) = %t, want %t", host, got, want)
		}
	}
}

// FuzzPublicHost: a host that is public in its text is never an address that
// is not, in any spelling netip or inet_aton reads.
func FuzzPublicHost(f *testing.F) {
	f.Add("127.0.0.1")
	f.Add("0x7f.1")
	f.Add("::ffff:10.0.0.1")
	f.Fuzz(func(t *testing.T, host string) {
		public := relay.PublicHost(host)
		if a, err := netip.ParseAddr(host); err == nil && public && !relay.PublicAddr(a) {
			t.Errorf("%q passes as public", host)
		}
	})
}

func valid() relay.JobRequest {
	return relay.JobRequest{IdempotencyKey: "k", TrackingURL: "https://t.example.com/c?id=1", Source: "s", RowID: "r", Expiry: time.Hour}
}

func TestValidateNamesEveryFaultAtOnce(t *testing.T) {
	r := relay.JobRequest{IdempotencyKey: "a\nb", TrackingURL: "ftp://x", RowID: strings.Repeat("ü", 257), Context: json.RawMessage(strings.Repeat("x", 4097))}
	e, ok := errors.AsType[*relay.Error](r.Validate(false))
	if !ok || e.Code != relay.ValidationFailed {
		t.Fatalf("got %v", e)
	}
	var pointers []string
	for _, f := range e.Errors {
		pointers = append(pointers, f.Pointer)
	}
	want := []string{"/idempotencyKey", "/trackingUrl", "/source", "/rowId", "/context", "/expiresInSeconds"}
	if !slices.Equal(pointers, want) {
		t.Errorf("faults at %v, want %v", pointers, want)
	}
}

func TestValidateTrackingURL(t *testing.T) {
	for url, want := range map[string]relay.Code{
		"http://example.com": "", "https://example.com/a?b=c#d": "", "HTTPS://EXAMPLE.COM/": "", "https://8.8.8.8:8443/": "",
		"": relay.ValidationFailed, "example.com": relay.ValidationFailed, "//example.com": relay.ValidationFailed, "/x": relay.ValidationFailed,
		"javascript:alert(1)": relay.ValidationFailed, "file:///etc/passwd": relay.ValidationFailed, "https://": relay.ValidationFailed,
		"https://user@example.com": relay.ValidationFailed, "https://u:p@example.com": relay.ValidationFailed, "https://@example.com": relay.ValidationFailed,
		`https://example.com\@evil.example`: relay.ValidationFailed, "https://exam ple.com": relay.ValidationFailed,
		"https://example.com/\x7f": relay.ValidationFailed, "https://example.com/\u0085": relay.ValidationFailed, "https://[::1": relay.ValidationFailed,
		"https://example.com:99999/": relay.ValidationFailed, "https://" + strings.Repeat("a", 4090): relay.ValidationFailed,
		"http://127.0.0.1/": relay.URLNotAllowed, "http://[::1]:80/": relay.URLNotAllowed, "http://2130706433": relay.URLNotAllowed,
		"http://169.254.169.254/latest": relay.URLNotAllowed, "http://localhost:8080": relay.URLNotAllowed,
	} {
		r := valid()
		r.TrackingURL = url
		err := r.Validate(false)
		if got := codeOf(err); got != want {
			t.Errorf("%q: %v, want %q", url, err, want)
		}
		if want == relay.URLNotAllowed && r.Validate(true) != nil {
			t.Errorf("%q is refused although private hosts are allowed", url)
		}
	}
}

func codeOf(err error) relay.Code {
	if err == nil {
		return ""
	}
	return relay.CodeOf(err)
}

func TestValidateBounds(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*relay.JobRequest)
		ok     bool
	}{
		"longest key":      {func(r *relay.JobRequest) { r.IdempotencyKey = strings.Repeat("ü", 255) }, true},
		"key too long":     {func(r *relay.JobRequest) { r.IdempotencyKey = strings.Repeat("x", 256) }, false},
		"longest source":   {func(r *relay.JobRequest) { r.Source = strings.Repeat("x", 64) }, true},
		"source too long":  {func(r *relay.JobRequest) { r.Source = strings.Repeat("x", 65) }, false},
		"line separator":   {func(r *relay.JobRequest) { r.RowID = "a\u2028b" }, false},
		"not UTF-8":        {func(r *relay.JobRequest) { r.RowID = "a\xff" }, false},
		"shortest expiry":  {func(r *relay.JobRequest) { r.Expiry = time.Minute }, true},
		"expiry too short": {func(r *relay.JobRequest) { r.Expiry = time.Minute - 1 }, false},
		"longest expiry":   {func(r *relay.JobRequest) { r.Expiry = 7 * 24 * time.Hour }, true},
		"expiry too long":  {func(r *relay.JobRequest) { r.Expiry = 7*24*time.Hour + 1 }, false},
		"longest context":  {func(r *relay.JobRequest) { r.Context = json.RawMessage(strings.Repeat("x", 4096)) }, true},
	} {
		r := valid()
		c.change(&r)
		if err := r.Validate(false); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCatalogueIsWhole(t *testing.T) {
	seen := map[relay.Code]bool{}
	for _, e := range relay.Catalogue {
		if seen[e.Code] || e.Status < 400 || e.Status > 599 || e.Title == "" || e.Remedy == "" || strings.HasSuffix(e.Title, ".") {
			t.Errorf("entry %+v", e)
		}
		seen[e.Code] = true
		made := relay.NewError(e.Code, "detail")
		if made.Status != e.Status || made.Title != e.Title || made.Retryable != e.Retryable || made.Type != "/problems/"+string(e.Code) {
			t.Errorf("%s makes %+v", e.Code, made)
		}
	}
	// The codes of CONTRACT §5, with their statuses.
	for code, status := range map[relay.Code]int{
		"header_missing": 400, "header_malformed": 400, "header_duplicated": 400, "body_malformed": 400, "json_duplicate_key": 400,
		"signature_invalid": 401, "timestamp_out_of_window": 401, "key_revoked": 403, "key_expired": 403, "scope_missing": 403,
		"scheme_not_allowed": 403, "ip_not_allowed": 403, "membership_inactive": 403, "plan_feature_unavailable": 403,
		"not_found": 404, "method_not_allowed": 405, "nonce_replayed": 409, "idempotency_key_reused": 409, "lease_lost": 409, "job_final": 409,
		"body_too_large": 413, "unsupported_media_type": 415, "headers_too_large": 431, "validation_failed": 422,
		"idempotency_key_mismatch": 422, "url_not_allowed": 422, "rate_limited": 429, "quota_exceeded": 429, "backlog_full": 429,
		"failed_auth_throttled": 429, "internal_error": 500, "store_unavailable": 503, "durability_unconfirmed": 503, "overloaded": 503, "draining": 503,
	} {
		if !seen[code] || relay.NewError(code, "").Status != status {
			t.Errorf("%s is not in the catalogue with status %d", code, status)
		}
	}
}

func TestUnknownCodeBecomesInternalError(t *testing.T) {
	if e := relay.NewError("no_such_code", "secret detail"); e.Code != relay.InternalError || e.Status != 500 {
		t.Errorf("made %+v", e)
	}
	if code := relay.CodeOf(fmt.Errorf("wrapped: %w", relay.NewError(relay.LeaseLost, ""))); code != relay.LeaseLost {
		t.Errorf("CodeOf a wrapped error is %s", code)
	}
	if code := relay.CodeOf(errors.New("plain")); code != relay.InternalError {
		t.Errorf("CodeOf a foreign error is %s", code)
	}
}

func TestOverridesReplaceSingleLimits(t *testing.T) {
	zero, nine := int64(0), int64(9)
	got := relay.LimitOverrides{PerDay: &zero, MaxKeys: &nine}.Over(relay.Limits{PerMinute: 1, PerDay: 2, PerMonth: 3, MaxBacklog: 4, MaxInFlight: 5, MaxDevices: 6, MaxKeys: 7})
	want := relay.Limits{PerMinute: 1, PerDay: 0, PerMonth: 3, MaxBacklog: 4, MaxInFlight: 5, MaxDevices: 6, MaxKeys: 9}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestRandomTextIsBase62AndFresh(t *testing.T) {
	a, b := relay.RandomText(200), relay.RandomText(200)
	if len(a) != 200 || a == b || strings.ContainsFunc(a, func(r rune) bool {
		return !strings.ContainsRune("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", r)
	}) {
		t.Errorf("%q %q", a, b)
	}
	if !relay.ValidAccountID(relay.NewAccountID()) {
		t.Error("a fresh account id is not valid")
	}
	for _, bad := range []string{"", "a b", "{a}", "_a", strings.Repeat("a", 41), "a:b", "ä"} {
		if relay.ValidAccountID(bad) {
			t.Errorf("account id %q is valid", bad)
		}
	}
}
