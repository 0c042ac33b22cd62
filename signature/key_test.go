package signature_test

import (
	"regexp"
	"strings"
	"testing"

	"linkrelay/signature"
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

var kinds = []signature.Kind{signature.KindLive, signature.KindTest, signature.KindDevice}

func TestNewKeyIDsParseAndScan(t *testing.T) {
	pattern := regexp.MustCompile(signature.KeyIDPattern)
	seen := map[string]bool{}
	for _, k := range kinds {
		for range 200 {
			id := signature.NewKeyID(k)
			if got, ok := signature.ParseKeyID(id); !ok || got != k {
				t.Fatalf("%s: %q, %v", id, got, ok)
			}
			if pattern.FindString(`{"key":"`+id+`"}`) != id {
				t.Fatalf("%s: not found by the scanner's pattern", id)
			}
			if seen[id] {
				t.Fatalf("%s: made twice", id)
			}
			seen[id] = true
		}
	}
}

func TestNewSecretsAreValidAndScan(t *testing.T) {
	pattern := regexp.MustCompile(signature.SecretPattern)
	for range 200 {
		s := signature.NewSecret()
		if !signature.ValidSecret(s) || pattern.FindString("SECRET="+s+"\n") != s {
			t.Fatal("a new secret is not valid or not found by the scanner's pattern")
		}
		if _, ok := signature.ParseKeyID(s); ok {
			t.Fatal("a secret passes for a key id")
		}
	}
}

// No slip of one character and no swap of two neighbours makes another key id.
func TestMistypedKeyIDsAreRefused(t *testing.T) {
	for _, k := range kinds {
		id := signature.NewKeyID(k)
		for i := range len(id) {
			for _, c := range base62 + "_- " {
				if typo := id[:i] + string(c) + id[i+1:]; typo != id {
					refused(t, typo)
				}
			}
			refused(t, id[:i]+id[i+1:])
			if i > 0 && id[i] != id[i-1] {
				refused(t, id[:i-1]+id[i:i+1]+id[i-1:i]+id[i+1:])
			}
		}
	}
}

func refused(t *testing.T, id string) {
	t.Helper()
	if kind, ok := signature.ParseKeyID(id); ok || kind != "" {
		t.Errorf("%q passes", id)
	}
}

func TestNoncesHaveTheirForm(t *testing.T) {
	form := regexp.MustCompile(`^[A-Za-z0-9_-]{16,128}$`)
	a, b := signature.NewNonce(), signature.NewNonce()
	if !form.MatchString(a) || a == b {
		t.Errorf("%q, %q", a, b)
	}
}

func TestLinkCodes(t *testing.T) {
	form := regexp.MustCompile(`^([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}$`)
	used := map[rune]bool{}
	for range 200 {
		code := signature.NewLinkCode()
		if !form.MatchString(code) {
			t.Fatalf("%q", code)
		}
		want := strings.ReplaceAll(code, "-", "")
		for _, typed := range []string{
			code, want, strings.ToLower(code), " " + strings.ReplaceAll(code, "-", " ") + "\n", strings.ReplaceAll(code, "-", "–"),
			strings.ReplaceAll(code, "0", "O"), strings.ReplaceAll(code, "0", "o"), strings.ReplaceAll(code, "1", "I"), strings.ReplaceAll(code, "1", "l"),
		} {
			if got := signature.NormalizeLinkCode(typed); got != want {
				t.Fatalf("%q: %q, want %q", typed, got, want)
			}
		}
		for _, r := range want {
			used[r] = true
		}
	}
	if len(used) != 32 { // 3200 draws of 32: a missing one has odds of 10^-44
		t.Errorf("only %d of 32 characters occur", len(used))
	}
}
