package signature

import (
	"crypto/rand"
	"hash/crc32"
	"strings"
)

// Kind is what a key id belongs to.
type Kind string

// The kinds of keys (CONTRACT §1). Live and test keys are API keys.
const (
	KindLive   Kind = "live"
	KindTest   Kind = "test"
	KindDevice Kind = "device"
)

// KeyIDPattern and SecretPattern find key ids and secrets in text, in RE2
// syntax. A secret scanner confirms a find by the checksum: the last 6
// characters are the CRC-32 (IEEE) of all characters before them, as a number
// in base62 (digits, then upper case, then lower case), padded with zeros.
const (
	KeyIDPattern  = `\blp_(?:live|test|device)_[0-9A-Za-z]{22}\b`
	SecretPattern = `\blps_[0-9A-Za-z]{49}\b`
)

const (
	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

	secretPrefix = "lps_"
	keyRandom    = 16 // characters: 95 bits
	secretRandom = 43 // characters: 256 bits
	nonceRandom  = 22 // characters: 130 bits
	checksumLen  = 6  // 62^6 > 2^32
)

// NewKeyID returns a fresh key id of the kind: "lp_", the kind, "_", 16 random
// base62 characters and their checksum. It is public.
func NewKeyID(k Kind) string { return withChecksum("lp_" + string(k) + "_" + randomText(keyRandom)) }

// ParseKeyID returns the kind of a key id, and false when its prefix, alphabet,
// length or checksum is wrong. Such an id was never issued, so no look-up is
// needed, but its sender must get the same answer as for an unknown one.
func ParseKeyID(id string) (Kind, bool) {
	rest, lp := strings.CutPrefix(id, "lp_")
	kind, rest, _ := strings.Cut(rest, "_")
	switch k := Kind(kind); k {
	case KindLive, KindTest, KindDevice:
		if lp && len(rest) == keyRandom+checksumLen && checksumHolds(id, rest) {
			return k, true
		}
	}
	return "", false
}

// NewSecret returns a fresh secret: "lps_", 43 random base62 characters and
// their checksum. The HMAC key is this text's bytes.
func NewSecret() string { return withChecksum(secretPrefix + randomText(secretRandom)) }

// ValidSecret reports whether s has the form and checksum of a secret. It is
// for the owner's side, to notice a mistyped or cut-off secret before signing
// with it; the relay has no use for it.
func ValidSecret(s string) bool {
	rest, ok := strings.CutPrefix(s, secretPrefix)
	return ok && len(rest) == secretRandom+checksumLen && checksumHolds(s, rest)
}

// NewNonce returns a fresh nonce: 22 random base62 characters.
func NewNonce() string { return randomText(nonceRandom) }

// checksumHolds reports whether all, which ends in rest, ends in its checksum
// and rest is base62. The checksum alone would let other bytes through.
func checksumHolds(all, rest string) bool {
	if !within(rest, checksumLen, len(rest), isAlnum) {
		return false
	}
	before, sum := all[:len(all)-checksumLen], all[len(all)-checksumLen:]
	want := checksum(before)
	return sum == string(want[:])
}

func withChecksum(s string) string {
	sum := checksum(s)
	return s + string(sum[:])
}

func checksum(s string) (text [checksumLen]byte) {
	n := crc32.ChecksumIEEE([]byte(s))
	for i := len(text) - 1; i >= 0; i-- {
		text[i], n = base62[n%62], n/62
	}
	return text
}

// randomText returns n characters of base62 from crypto/rand, 5.95 bits each.
func randomText(n int) string {
	text := make([]byte, 0, n)
	var random [64]byte
	for len(text) < n {
		_, _ = rand.Read(random[:]) // never fails: see crypto/rand
		for _, b := range random {
			if b < 4*62 && len(text) < n { // the rest would favour the first characters
				text = append(text, base62[b%62])
			}
		}
	}
	return string(text)
}
