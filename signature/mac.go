package signature

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // HMAC-SHA1, only for keys that were created to allow it
	"crypto/sha256"
	"crypto/subtle"
	"hash"
	"sync"
)

// digest is one decoded HMAC-SHA256 value, or an HMAC-SHA1 value in its first
// bytes.
type digest [sha256.Size]byte

const sha1Size = sha1.Size

// decoy stands in for the secret of a key id that nobody has, so that such a
// request costs what a wrong signature costs. It has a real secret's length.
const decoy = "lps_0000000000000000000000000000000000000000000000000"

// scratch is what one computation needs beside the hash itself. It is pooled
// because hash.Hash makes all of it escape, on every request.
type scratch struct {
	head, key []byte
	sum       digest
}

// newMAC is a variable for the tests that count HMACs.
var newMAC = hmac.New

var scratches = sync.Pool{New: func() any { return &scratch{head: make([]byte, 0, 512), key: make([]byte, 0, 64)} }}

// authenticate leaves HMAC-SHA256(secret, head + rest) in s.sum.
func (s *scratch) authenticate(secret string, rest []byte) { s.hash(sha256.New, secret, rest) }

// authenticateSHA1 leaves HMAC-SHA1(secret, head + rest) in the beginning of s.sum.
func (s *scratch) authenticateSHA1(secret string, rest []byte) { s.hash(sha1.New, secret, rest) }

func (s *scratch) hash(algorithm func() hash.Hash, secret string, rest []byte) {
	s.key = append(s.key[:0], secret...)
	mac := newMAC(algorithm, s.key)
	clear(s.key)
	mac.Write(s.head)
	mac.Write(rest)
	mac.Sum(s.sum[:0])
}

// match returns the index of the first secret under which head + rest has one
// of the MACs that p presents in the right encoding, or -1. It computes one HMAC
// for each secret and compares it with every presented MAC, whatever matched
// before; when none matched, decoys bring the work to that of MaxSecrets. An
// empty secret matches nothing: anyone could sign with it.
func (s *scratch) match(p *Proof, secrets []string, rest []byte) int {
	secrets = secrets[:min(len(secrets), MaxSecrets)]
	found := -1
	for i, secret := range secrets {
		if s.compare(p, secret, rest)&^p.base64 != 0 && secret != "" && found < 0 {
			found = i
		}
	}
	for range MaxSecrets - len(secrets) {
		if found < 0 {
			s.compare(p, decoy, rest)
		}
	}
	return found
}

// compare returns which of the presented MACs are those of head + rest under
// the secret, bit i for macs[i].
func (s *scratch) compare(p *Proof, secret string, rest []byte) (equal uint8) {
	size := len(s.sum)
	if p.SHA1 {
		size = sha1Size
		s.authenticateSHA1(secret, rest)
	} else {
		s.authenticate(secret, rest)
	}
	for i := range p.count {
		equal |= uint8(subtle.ConstantTimeCompare(s.sum[:size], p.macs[i][:size])) << i //nolint:gosec // 0 or 1
	}
	return equal
}
