package redisstore

import (
	"encoding/base64"
	"strings"
	"testing"
)

func keyring(t *testing.T, ids ...string) *Keyring {
	t.Helper()
	var keys []SealKey
	for _, id := range ids {
		k := SealKey{ID: id}
		copy(k.Key[:], "key material of "+id)
		keys = append(keys, k)
	}
	r, err := NewKeyring(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const sealedSecret, sealedFor = "lps_this-must-never-be-seen", "lp_live_0001"

func TestSealAndOpen(t *testing.T) {
	r := keyring(t, "k1")
	for _, secret := range []string{sealedSecret, "", "with:colons:", strings.Repeat("x", 1000)} {
		sealed := r.seal(secret, sealedFor)
		if !strings.HasPrefix(sealed, "k1:") || secret != "" && strings.Contains(sealed, secret) {
			t.Errorf("sealed %q", sealed)
		}
		if got, err := r.open(sealed, sealedFor); err != nil || got != secret {
			t.Errorf("opened %q, %v", got, err)
		}
		if r.seal(secret, sealedFor) == sealed {
			t.Error("two seals of one secret are equal")
		}
	}
}

func TestSealIsBoundToItsKeyID(t *testing.T) {
	r := keyring(t, "k1")
	sealed := r.seal(sealedSecret, sealedFor)
	for _, other := range []string{"", "lp_live_0002", sealedFor + " "} {
		if got, err := r.open(sealed, other); err == nil {
			t.Errorf("it opened for %q as %q", other, got)
		}
	}
}

func TestRotationKeepsOldSealsReadable(t *testing.T) {
	old := keyring(t, "k1").seal(sealedSecret, sealedFor)
	both := keyring(t, "k2", "k1")
	if got, err := both.open(old, sealedFor); err != nil || got != sealedSecret {
		t.Errorf("an old seal opens as %q, %v", got, err)
	}
	fresh := both.seal(sealedSecret, sealedFor)
	if !strings.HasPrefix(fresh, "k2:") {
		t.Errorf("the first key does not seal: %q", fresh)
	}
	if _, err := keyring(t, "k1").open(fresh, sealedFor); err == nil {
		t.Error("the old key opens what the new one sealed")
	}
}

// Whatever is wrong with a seal, the error says which key and never what was
// sealed, nor any part of the key that seals.
func TestSealErrorsNameTheRemedyAndNoSecret(t *testing.T) {
	r := keyring(t, "k1")
	sealed := r.seal(sealedSecret, sealedFor)
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimPrefix(sealed, "k1:"))
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-1] ^= 1
	flipped := "k1:" + base64.RawStdEncoding.EncodeToString(raw)
	for _, tc := range []struct{ name, sealed, says string }{
		{"unknown key", "k9" + strings.TrimPrefix(sealed, "k1"), "RELAY_SECRET_KEYS"},
		{"another key of that name", mustSealWithOther(t), `does not open with key "k1"`},
		{"one bit flipped", flipped, `does not open with key "k1"`},
		{"cut off", sealed[:len("k1:")+10], "damaged"},
		{"not base64", "k1:!!!!", "damaged"},
		{"nothing", "", "RELAY_SECRET_KEYS"},
		{"no separator", "k1", "damaged"},
	} {
		got, err := r.open(tc.sealed, sealedFor)
		if err == nil {
			t.Errorf("%s: opened as %q", tc.name, got)
			continue
		}
		text := err.Error()
		if !strings.Contains(text, tc.says) || !strings.Contains(text, sealedFor) {
			t.Errorf("%s: %q says neither %q nor whose secret it is", tc.name, text, tc.says)
		}
		if strings.Contains(text, sealedSecret) || strings.Contains(text, "key material") || got != "" {
			t.Errorf("%s: %q tells a secret", tc.name, text)
		}
	}
}

func mustSealWithOther(t *testing.T) string {
	t.Helper()
	r, err := NewKeyring(SealKey{ID: "k1", Key: [32]byte{9}})
	if err != nil {
		t.Fatal(err)
	}
	return r.seal(sealedSecret, sealedFor)
}

// A keyring that could seal with one key and open with another of the same
// name would lose what it seals at the next start.
func TestKeyringRefusesWhatItCannotKeepApart(t *testing.T) {
	for name, keys := range map[string][]SealKey{
		"no key":       nil,
		"one id twice": {{ID: "k1"}, {ID: "k1", Key: [32]byte{1}}},
		"colon in id":  {{ID: "k:1"}},
	} {
		if _, err := NewKeyring(keys...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
