package signature_test

import (
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"linkrelay/signature"
)

// refusedCleanly checks what every refusal has in common: a fixed reason, and nothing
// returned beside it.
func refusedCleanly(t *testing.T, p signature.Proof, fault *signature.HeaderError) {
	t.Helper()
	if !slices.Contains(signature.Reasons, fault.Reason) || (fault.Header == "") == (fault.Parameter == "") {
		t.Fatalf("%v", fault)
	}
	if !reflect.DeepEqual(p, signature.Proof{}) {
		t.Fatal("refused, and something returned")
	}
}

// Any headers are either refused with one of the fixed reasons or accepted, and
// then mean the same when they are written again from what was parsed.
func FuzzParseIklim(f *testing.F) {
	mac := strings.Repeat("0aB", 21) + "c"
	f.Add("lp_live_x", "1735689600123", nonceUUID, keyUUID, mac, "/api/links/jobs?a=%7C", "")
	f.Add("lp_live_x", "0000000000000", strings.ToUpper(nonceUUID), nonceUUID, strings.Repeat("A", 43)+"=", "/", "")
	f.Add("lp_live_x", "1735689600", nonceUUID, keyUUID, strings.Repeat("-", 42)+"A", "/a|b", "x")
	f.Add("", "+735689600123", "6f1e9a52-3c4b-4d8e-7f70-1a2b3c4d5e6f", "{}", mac[1:], "*", "")
	f.Fuzz(func(t *testing.T, key, timestamp, nonce, idempotency, sig, target, second string) {
		h := http.Header{
			signature.HeaderIklimKey: {key}, signature.HeaderIklimTimestamp: {timestamp}, signature.HeaderIklimNonce: {nonce},
			signature.HeaderIklimIdempotency: {idempotency}, signature.HeaderIklimSignature: {sig},
		}
		if second != "" {
			h.Add(signature.HeaderIklimNonce, second)
		}
		p, fault := signature.ParseIklim(h, target)
		if fault != nil {
			refusedCleanly(t, p, fault)
			return
		}
		if second != "" || strings.Contains(target, "|") || p.KeyID != key || p.RawTimestamp != timestamp ||
			!strings.EqualFold(p.Nonce, nonce) || !strings.EqualFold(p.IdempotencyKey, idempotency) {
			t.Fatalf("accepted, but changed: %v", p)
		}
		again, fault := signature.ParseIklim(p.Render(), target)
		if fault != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("written again it is refused or different: %v", fault)
		}
		if rendered := again.Render().Get(signature.HeaderIklimSignature); !sameMAC(rendered, sig) {
			t.Fatalf("%q became %q", sig, rendered)
		}
	})
}

// Any target is either refused with one of the fixed reasons or accepted, and
// then means the same when it is written again from what was parsed. Whatever
// net/url reads without an error, and handlers act on, is read in the same way.
func FuzzParseSignedQuery(f *testing.F) {
	f.Add("/api/links/jobs?AccessID=lp_live_x&Expires=1735690200&Signature=" + strings.Repeat("%2B", 43))
	f.Add("/?Signature=" + strings.Repeat("+", 43) + "%3d&Expires=0000000000&AccessID=%6Cp")
	f.Add("/?signedAuthentication=" + strings.Repeat("0aB", 13) + "c&Expires=1735690200000&AccessID=x")
	f.Add("/?AccessID=a&AccessID=b&Signature=%zz&Expires=1735690200")
	f.Add("/a?b?" + signer.CreateQuery(at, job) + "#c")
	f.Add("//h/?rowId=%F0%9F%8D%90&rowId=2&trackingUrl=a+b%0A&source&idempotencyKey==&;=x")
	f.Fuzz(func(t *testing.T, target string) {
		p, fault := signature.ParseSignedQuery(target)
		u, err := url.ParseRequestURI(target)
		var values url.Values
		if err == nil {
			values, err = url.ParseQuery(u.RawQuery)
		}
		if err == nil {
			want := signature.QueryJob{IdempotencyKey: values.Get("idempotencyKey"), TrackingURL: values.Get("trackingUrl"), Source: values.Get("source"), RowID: values.Get("rowId")}
			if got := signature.QueryJobOf(target); got != want {
				t.Fatalf("job %+v, net/url reads %+v", got, want)
			}
		}
		if fault != nil {
			refusedCleanly(t, p, fault)
			return
		}
		if err == nil && (p.KeyID != values.Get("AccessID") || p.RawTimestamp != values.Get("Expires") || !values.Has("Signature") && !values.Has("signedAuthentication")) {
			t.Fatalf("read %v, %q of %v", p, p.RawTimestamp, values)
		}
		again, fault := signature.ParseSignedQuery("/?" + p.RenderQuery())
		if fault != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("written again it is refused or different: %v", fault)
		}
	})
}

// request is one request of each scheme with the same secret, made of fuzzed
// parts; methods and key id are such as the relay routes and issues.
type request struct {
	proof          signature.Proof
	method, target string
	body           []byte
}

func requests(t *testing.T, at time.Time, nonce, method, target string, body []byte, j signature.QueryJob) (all []request) {
	t.Helper()
	add := func(p signature.Proof, fault *signature.HeaderError, target string, creates bool) {
		if p.Creates = creates; fault == nil {
			all = append(all, request{p, method, target, body})
		}
	}
	if isObject(string(body)) { // elsewhere v1 is not accepted
		p, fault := signature.ParseLinkPeeler(signer.V1(at, nonce, body))
		add(p, fault, target, false)
	}
	p, fault := signature.ParseLinkPeeler(signer.V2(at, nonce, method, target, body))
	add(p, fault, target, false)
	p, fault = signature.ParseIklim(signer.Iklim(at, nonceUUID, keyUUID, method, target, body), target)
	add(p, fault, target, false)
	read, create := "/?"+signer.ReadQuery(at), "/?"+signer.CreateQuery(at, j)
	p, fault = signature.ParseSignedQuery(read)
	add(p, fault, read, false)
	p, fault = signature.ParseSignedQuery(create)
	add(p, fault, create, true)
	return all
}

// A MAC verifies under the scheme, the version and the purpose it was made for,
// and under no other, whatever the other request says.
func FuzzSchemesDoNotMix(f *testing.F) {
	f.Add(uint32(1735689600), "nonce-of-this-fuzz", "/a", []byte(`{}`), "", uint32(1735689600), "nonce-of-this-fuzz", "/a", []byte(`{}`), "")
	f.Add(uint32(1735689600), "nonce-of-this-fuzz", "/api/links/fetch", []byte(`{"a":"POST./api/links/fetch."}`), "a|b", uint32(1), "POST-GET-DELETE-x", "/a|b", []byte("\n1735689600"), "x\ny")
	f.Add(uint32(0), "0123456789abcdef", "/x|1735689600000", []byte("|"), ".", uint32(4294967295), "0000000000000000", "/.{}", []byte(" {}"), "\n")
	f.Fuzz(func(t *testing.T, seconds uint32, nonce, target string, body []byte, value string, seconds2 uint32, nonce2, target2 string, body2 []byte, value2 string) {
		if !strings.HasPrefix(target, "/") || !strings.HasPrefix(target2, "/") {
			return
		}
		for _, method := range []string{"GET", "POST", "DELETE"} {
			made := requests(t, time.Unix(int64(seconds), 0), nonce, "POST", target, body, signature.QueryJob{IdempotencyKey: value, RowID: value2})
			tried := requests(t, time.Unix(int64(seconds2), 0), nonce2, method, target2, body2, signature.QueryJob{TrackingURL: value2, Source: value})
			for _, a := range made {
				for _, b := range tried {
					same := a.proof.Scheme == b.proof.Scheme && a.proof.V1 == b.proof.V1 && a.proof.Creates == b.proof.Creates
					base, other := a.proof.Base(a.method, a.target, a.body), b.proof.Base(b.method, b.target, b.body)
					if !same && string(base) == string(other) {
						t.Fatalf("%s and %s are both %q", a.proof.Scheme, b.proof.Scheme, base)
					}
					if stolen := b.proof.WithMACs(hmacOf(signer.Secret, string(base))); !same && stolen.Verify([]string{signer.Secret}, b.method, b.target, b.body) != -1 {
						t.Fatalf("a MAC of %s verifies under %s", a.proof.Scheme, b.proof.Scheme)
					}
				}
			}
		}
	})
}

// The diagnosis never panics and does the same work with the secret as without
// it. It says one of its sentences, or nothing; and to somebody who signs with
// anything but the secret, always nothing.
func FuzzDiagnose(f *testing.F) {
	f.Add("POST", "/api/links/fetch?a=%2F", []byte(`{"b":1, "a":"\/"}`), "", uint(0))
	f.Add("get", "/?rowId=%zz&trackingUrl=a+b&source=%00", []byte(""), "lps_", uint(17))
	f.Add("", "?%", []byte("{\"\xff\":[{}], \"\xff\": 1e9 }\n"), "\x96\x9b", uint(30))
	f.Fuzz(func(t *testing.T, method, target string, body []byte, key string, pick uint) {
		if strings.Contains(key, signer.Secret[4:]) {
			return
		}
		if !strings.Contains(target, "?") {
			target += "?"
		}
		target += "&" + signer.ReadQuery(at)
		for _, p := range diagnosable(t, target) {
			texts := p.Texts(method, target, body)
			text := string(texts[pick%uint(len(texts))])
			stranger := p.WithMACs(hmacOf(key, text), hmacOf(text, key))
			if said := stranger.Diagnose([]string{signer.Secret}, method, target, body); said != "" {
				t.Fatalf("a stranger was told %q", said)
			}
			owner := p.WithMACs(hmacOf(signer.Secret, text))
			said := ""
			with := signature.CountHMACs(func() { said = owner.Diagnose([]string{signer.Secret}, method, target, body) })
			without := signature.CountHMACs(func() { _ = owner.Diagnose(nil, method, target, body) })
			if !slices.Equal(with, without) {
				t.Fatalf("%d HMACs with the secret, %d without", len(with), len(without))
			}
			known := slices.ContainsFunc(signature.Mistakes, func(m signature.Mistake) bool {
				return !m.Offline && m.Sentence == said && slices.Contains(m.Schemes, p.Scheme)
			})
			right := text == string(p.Base(method, target, body))
			if !known && (said != "" || !right) {
				t.Fatalf("signed %q: told %q", text, said)
			}
		}
	})
}

// diagnosable returns a proof of every sort.
func diagnosable(t *testing.T, target string) (all []signature.Proof) {
	t.Helper()
	v1, v2 := parse(t, signer.V1(at, nonce, nil)), parse(t, signer.V2(at, nonce, "", "", nil))
	escaped := strings.ReplaceAll(target, "|", "%7C")
	all = append(all, v1, v2, iklim(t, signer.Iklim(at, nonceUUID, keyUUID, "", "", nil), escaped))
	if p, fault := signature.ParseSignedQuery(target); fault == nil {
		all = append(all, p)
		p.Creates = true
		all = append(all, p)
	}
	return all
}
