package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"linkrelay/relay"
	"linkrelay/signature"
)

// face is everything that an answer tells, but for what names the request and
// the time: its status, headers and body.
func (a answer) face() string {
	h := maps.Clone(a.header)
	id := h.Get("X-Request-Id")
	h.Del("X-Request-Id")
	h.Del("Date")
	var b bytes.Buffer
	fmt.Fprintln(&b, a.status)
	_ = h.Write(&b) // sorted by name
	body := strings.Replace(string(a.body), id, "…", 1)
	b.WriteString(iklimTimestamp.ReplaceAllString(body, `"timestamp":"…"`))
	return b.String()
}

var iklimTimestamp = regexp.MustCompile(`"timestamp":"[^"]*"`)

// strangers are key ids of every kind, each with a secret that is not the
// key's: what they share is that their user does not hold the secret.
func strangers(w *world) map[string]string {
	d := w.account("").link("desktop")
	revoked := d.key(anyScheme())
	if _, err := d.at(w.public()).RevokeKey(w.t.Context(), revoked.id); err != nil {
		w.t.Fatal(err)
	}
	soon := time.Now().Add(500 * time.Millisecond)
	ends, elsewhere, sha1, limited := anyScheme(), anyScheme(), anyScheme(), anyScheme()
	ends.ExpiresAt = &soon
	elsewhere.AllowedCIDRs = []string{"192.0.2.0/24"}
	sha1.AllowSHA1 = true
	limited.Scopes = []relay.Scope{relay.ScopeJobsCancel}
	expired := d.key(ends)
	eventually(w.t, "expiry", func() bool {
		return send(w.t, w.public(), expired.quotaBy(relay.SchemeLinkPeeler)).status == http.StatusForbidden
	})
	late := w.account("")
	unpaid := late.link("desktop").key(anyScheme())
	late.change(`"membership":{"state":"past_due"}`)
	rotated := d.key(anyScheme())
	d.rotate(w.public(), rotated, time.Hour)
	good := d.key(anyScheme())
	w.everywhere(good, "") // in every replica's memory
	ids := map[string]string{
		"unknown key": signature.NewKeyID(signature.KindLive), "unknown test key": signature.NewKeyID(signature.KindTest),
		"unknown device": signature.NewKeyID(signature.KindDevice), "mistyped key": good.id[:len(good.id)-1] + "-", "no key id": "admin",
		"good key": good.id, "revoked key": revoked.id, "expired key": expired.id, "rotated key": rotated.id, "unpaid key": unpaid.id,
		"another network's key": d.key(elsewhere).id, "key that allows SHA-1": d.key(sha1).id, "key without the scopes": d.key(limited).id,
		"another account's key": w.account("").link("desktop").key(anyScheme()).id, "device's key": d.KeyID,
	}
	for _, scheme := range allSchemes {
		spec := anyScheme()
		spec.Schemes = []relay.Scheme{scheme}
		ids["key for "+string(scheme)] = d.key(spec).id
	}
	return ids
}

// guesses are requests that somebody without the key's secret can send, which
// differ only in their signature's form.
func guesses(k key, scheme relay.Scheme) map[string]request {
	own := map[string]request{}
	for name, with := range map[string]key{
		"another secret": {k.id, signature.NewSecret()}, "no secret": {k.id, ""}, "the key id": {k.id, k.id},
	} {
		own[name+", creating"], own[name+", reading"] = with.createBy(scheme), with.quotaBy(scheme)
		own[name+", verifying"], _ = verifies(with, scheme)
		if scheme == relay.SchemeLinkPeeler { // a desktop has no other
			own[name+", at the desktop's side"] = with.call(http.MethodGet, "/api/desktop/keys", "")
		}
	}
	sha1, sha256 := bytes.Repeat([]byte{7}, 20), bytes.Repeat([]byte{7}, 32)
	for name, text := range map[string]string{"base64": base64.StdEncoding.EncodeToString(sha256), "SHA-1": hex.EncodeToString(sha1), "zeros": strings.Repeat("0", 64)} {
		for call, r := range map[string]request{"creating": k.createBy(scheme), "reading": k.quotaBy(scheme)} {
			switch {
			case scheme == relay.SchemeSignedQuery:
				r.target = regexp.MustCompile(`Signature=[^&]*`).ReplaceAllString(r.target, "Signature="+strings.ReplaceAll(text, "=", "%3D"))
			case name == "SHA-1": // of another length than these schemes' signatures
				continue
			case scheme == relay.SchemeIklim:
				r = r.with(signature.HeaderIklimSignature, text)
			default:
				r = r.with(signature.HeaderSignature, map[string]string{"creating": "", "reading": "v2="}[call]+text)
			}
			own[name+", "+call] = r
		}
	}
	return own
}

// Nothing is ever said to someone without the secret: whichever key is named
// and however it is signed, the answer is one and the same, to the byte.
func TestStrangersLearnNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "RELAY_TRUSTED_PROXIES=127.0.0.1")
	sent := 0
	for name, id := range strangers(w) {
		k := key{id, signature.NewSecret()}
		for _, scheme := range allSchemes {
			for guess, r := range guesses(k, scheme) {
				for _, replica := range w.replicas {
					sent++
					r := r.with("X-Forwarded-For", fmt.Sprintf("10.7.%d.%d", sent>>8, sent&255)) // too few from each to be throttled
					learn(t, fmt.Sprintf("%s, %s, %s", scheme, name, guess), r, send(t, replica.public, r))
				}
			}
		}
	}
}

// learn compares an answer with what everybody without the secret is told
// about such a call.
func learn(t *testing.T, what string, r request, a answer) {
	t.Helper()
	path, _, _ := strings.Cut(r.target, "?")
	want := `401
Cache-Control: no-store
Content-Length: ` + fmt.Sprint(len(a.body)) + `
Content-Type: application/problem+json
X-Content-Type-Options: nosniff
{"type":"/problems/signature_invalid","title":"The signature does not match","status":401,` +
		`"detail":"the key is unknown or the signature does not match","code":"signature_invalid","requestId":"…","retryable":false`
	if r.header.Get(signature.HeaderIklimKey) != "" {
		want += `,"timestamp":"…","error":"Unauthorized","message":"the key is unknown or the signature does not match","path":"` + path + `"`
	}
	if got := strings.ReplaceAll(a.face(), "\r", ""); got != want+"}" {
		t.Errorf("%s is told\n%s\nwant\n%s}", what, got, want)
	}
}

// Nor does the throttle tell: for somebody who fails too often, an unknown key
// and a key that another caller uses are held off after as many failures, and
// with the same answer.
func TestThrottleTellsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "RELAY_TRUSTED_PROXIES=127.0.0.1")
	base := w.replicas[0].public
	good := w.account("").link("desktop").key(anyScheme())
	as[relay.QuotaStatus](t, send(t, base, good.quotaBy(relay.SchemeLinkPeeler).with("X-Forwarded-For", "192.0.2.1")), http.StatusOK)
	unknown := func() key { return key{signature.NewKeyID(signature.KindLive), signature.NewSecret()} }
	for i, scheme := range allSchemes {
		from := func(n int, k key) answer {
			return send(t, base, k.quotaBy(scheme).with("X-Forwarded-For", fmt.Sprintf("10.%d.0.%d", i, n)))
		}
		// Many failures with one key: it makes no difference whose it is, nor for
		// how many more keys may be tried then.
		faces, left := [2][]string{}, [2]int{}
		for which, k := range []key{{good.id, signature.NewSecret()}, unknown()} {
			began := time.Now()
			for range 30 {
				faces[which] = append(faces[which], withoutWait(from(1+which, k).face()))
			}
			for left[which] < 500 && from(1+which, unknown()).status == http.StatusUnauthorized {
				left[which]++
			}
			left[which] -= int(time.Since(began) / (100 * time.Millisecond)) // places that came free meanwhile
		}
		if more := left[0] - left[1]; more < -10 || more > 10 || left[0] > 100 {
			t.Errorf("%s: %v more keys could be tried", scheme, left)
		}
		if !slices.Equal(slices.Compact(faces[0]), slices.Compact(faces[1])) || len(slices.Compact(faces[0])) < 2 {
			t.Errorf("%s: a known key's failures are told\n%q\nan unknown one's\n%q", scheme, slices.Compact(faces[0]), slices.Compact(faces[1]))
		}
		// Many failures with many keys, and then each kind right after a refusal:
		// a place comes free every 100 ms, so a few may pass, and equally few.
		held := map[string]int{}
		for range 10 {
			for name, k := range map[string]key{"known": {good.id, signature.NewSecret()}, "unknown": unknown()} {
				for n := 0; from(3, unknown()).status != http.StatusTooManyRequests; n++ {
					if n > 500 {
						t.Fatalf("%s: 500 failures at once are not held off", scheme)
					}
				}
				if a := from(3, k); a.status == http.StatusTooManyRequests {
					held[name]++
					held[withoutWait(a.face())]++
				}
			}
		}
		if held["known"] < 5 || held["unknown"] < 5 || len(held) != 3 {
			t.Errorf("%s: held off of ten each: %v", scheme, held)
		}
	}
	// The key's user is elsewhere, and not held off.
	as[relay.QuotaStatus](t, send(t, base, good.quotaBy(relay.SchemeLinkPeeler).with("X-Forwarded-For", "192.0.2.1")), http.StatusOK)
}

var waitText = regexp.MustCompile(`Retry-After: \d+`)

// withoutWait is a face without the seconds to wait, which run down.
func withoutWait(face string) string { return waitText.ReplaceAllString(face, "Retry-After: …") }
