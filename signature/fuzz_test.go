package signature_test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"linkrelay/signature"
)

// Any headers are either refused with one of the fixed reasons or accepted, and
// then mean the same when they are written again from what was parsed.
func FuzzParseLinkPeeler(f *testing.F) {
	mac := strings.Repeat("0aB", 21) + "c"
	f.Add("lp_live_x", "1735689600", "0123456789abcdef", mac, "")
	f.Add("lp_live_x", "1735689600", "0123456789abcdef", "v2="+mac, "")
	f.Add("lp_live_x", "1735689600", "0123456789abcdef", "v2="+mac[:42]+"A,v2=--__"+mac[:38]+"A=", "")
	f.Add("lp_live_x", "0000000000", "0123456789abcdef", "v2="+mac+" ,\tv2="+mac, "")
	f.Add("lp_live_x", "9999999999", "0123456789abcdef", "v2="+mac, "v2="+mac)
	f.Add("", "+735689600", "0123456789.bcdef", ",", "")
	f.Fuzz(func(t *testing.T, key, timestamp, nonce, sig, second string) {
		h := http.Header{
			signature.HeaderKey: {key}, signature.HeaderTimestamp: {timestamp},
			signature.HeaderNonce: {nonce}, signature.HeaderSignature: {sig},
		}
		if second != "" {
			h.Add(signature.HeaderSignature, second)
		}
		p, fault := signature.ParseLinkPeeler(h)
		if fault != nil {
			refusedCleanly(t, p, fault)
			return
		}
		if second != "" || p.KeyID != key || p.RawTimestamp != timestamp || p.Nonce != nonce {
			t.Fatalf("accepted, but changed: %v", p)
		}
		again, fault := signature.ParseLinkPeeler(p.Render())
		if fault != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("written again it is refused or different: %v", fault)
		}
		rendered := again.Render().Get(signature.HeaderSignature)
		sent := strings.NewReplacer(" ", "", "\t", "").Replace(sig)
		if !slices.EqualFunc(strings.Split(rendered, ","), strings.Split(sent, ","), sameMAC) {
			t.Fatalf("%q became %q", sig, rendered)
		}
	})
}

// sameMAC compares two texts of a MAC: hex in any case, base64 in any alphabet.
func sameMAC(a, b string) bool {
	usual := strings.NewReplacer("-", "+", "_", "/", "=", "")
	return len(a) >= 64 && strings.EqualFold(a, b) || len(a) < 64 && usual.Replace(a) == usual.Replace(b)
}

// A text is a key id exactly if it has the documented pattern and its own checksum.
func FuzzKeyID(f *testing.F) {
	for _, k := range kinds {
		f.Add(signature.NewKeyID(k))
	}
	f.Add("lp_live_")
	f.Add("lp_live_Vect0rsOnlyKey-14RHyow")
	pattern := regexp.MustCompile(`^lp_(live|test|device)_[0-9A-Za-z]{22}$`)
	f.Fuzz(func(t *testing.T, text string) {
		kind, ok := signature.ParseKeyID(text)
		m := pattern.FindStringSubmatch(text)
		want := m != nil && signature.WithChecksum(text[:len(text)-6]) == text
		if ok != want {
			t.Fatalf("%q: %v, want %v", text, ok, want)
		}
		if ok && string(kind) != m[1] || !ok && kind != "" {
			t.Fatalf("%q: kind %q", text, kind)
		}
		if m == nil || len(text) < 22 {
			return
		}
		repaired := signature.WithChecksum(text[:len(text)-6])
		if kind, ok := signature.ParseKeyID(repaired); !ok || string(kind) != m[1] {
			t.Fatalf("%q with its checksum is refused", repaired)
		}
	})
}

// What was signed verifies, and with any one bit of any signed part changed it
// does not.
func FuzzVerify(f *testing.F) {
	f.Add("secret", uint32(1735689600), "nonce-of-this-fuzz", "POST", "/api/links/fetch", []byte(`{"a":1}`), uint(7))
	f.Add("s", uint32(0), "nonce-of-this-fuzz", "GET", "/api/links/jobs?idempotencyKey=a.b", []byte{}, uint(200))
	f.Fuzz(func(t *testing.T, secret string, seconds uint32, nonce, method, target string, body []byte, bit uint) {
		s := signature.Signer{KeyID: "lp_live_x", Secret: secret}
		at := time.Unix(int64(seconds), 0)
		v1, v2 := s.V1(at, nonce, body), s.V2(at, nonce, method, target, body)
		p, fault := signature.ParseLinkPeeler(v2)
		if fault != nil || secret == "" {
			return
		}
		secrets := []string{secret}
		if p.Verify(secrets, method, target, body) != 0 {
			t.Fatal("v2 does not verify")
		}
		first, fault := signature.ParseLinkPeeler(v1)
		if fault != nil || first.Verify(secrets, target, method, body) != 0 {
			t.Fatal("v1 does not verify, or depends on method or target")
		}

		parts := [][]byte{[]byte(v2.Get(signature.HeaderTimestamp)), []byte(nonce), slices.Clone(body), []byte(method), []byte(target)}
		flipped := flip(parts, bit)
		for _, h := range []http.Header{v1, v2} {
			h.Set(signature.HeaderTimestamp, string(parts[0]))
			h.Set(signature.HeaderNonce, string(parts[1]))
			changed, fault := signature.ParseLinkPeeler(h)
			if fault != nil || changed.V1 && flipped > 2 {
				continue // refused earlier, or a part that v1 does not sign
			}
			if changed.Verify(secrets, string(parts[3]), string(parts[4]), parts[2]) != -1 {
				t.Fatalf("verifies with a bit of part %d flipped (v1 %v)", flipped, changed.V1)
			}
		}
	})
}

// flip flips one bit of all parts taken together and returns which part it was in.
func flip(parts [][]byte, bit uint) int {
	total := uint(0)
	for _, p := range parts {
		total += 8 * uint(len(p))
	}
	bit %= total
	for i, p := range parts {
		if n := 8 * uint(len(p)); bit >= n {
			bit -= n
			continue
		}
		p[bit/8] ^= 1 << (bit % 8)
		return i
	}
	return -1
}

// However a code was typed, normalising it once is enough.
func FuzzNormalizeLinkCode(f *testing.F) {
	f.Add("abcd-efgh jkmn–pqrs")
	f.Add("\xffiIlLoO\u00a0")
	f.Fuzz(func(t *testing.T, typed string) {
		once := signature.NormalizeLinkCode(typed)
		if twice := signature.NormalizeLinkCode(once); twice != once {
			t.Fatalf("%q, then %q", once, twice)
		}
		if strings.ContainsAny(once, "abcdefghijklmnopqrstuvwxyzILO- \t\n") {
			t.Fatalf("%q", once)
		}
	})
}

// The package comment's claim about the boundary of a v2 base string: of a body
// that is one JSON object, nothing after a dot is a JSON object or empty.
func FuzzBoundary(f *testing.F) {
	f.Add(`{"a":".{\"b\":1}","c":[1.5,{"d":".{}"}]}`)
	f.Add(`{"a":".{", ":1,":":2}.","b":"x.\\"}`)
	f.Fuzz(func(t *testing.T, body string) {
		if !isObject(body) {
			return
		}
		for i, c := range body {
			if c == '.' && (body[i+1:] == "" || isObject(body[i+1:])) {
				t.Fatalf("%q and %q", body, body[i+1:])
			}
		}
	})
}

func isObject(text string) bool {
	return strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{") && json.Valid([]byte(text))
}
