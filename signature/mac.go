package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"sync"
)

// digest is one decoded HMAC-SHA256 value.
type digest [sha256.Size]byte

// decoy stands in for the secret of a key id that nobody has, so that such a
// request costs what a wrong signature costs. It has a real secret's length.
const decoy = "lps_0000000000000000000000000000000000000000000000000"

// scratch is what one computation needs beside the hash itself. It is pooled
// because hash.Hash makes all of it escape, on every request.
type scratch struct {
	head, key []byte
	sum       digest
}

var scratches = sync.Pool{New: func() any { return &scratch{head: make([]byte, 0, 512), key: make([]byte, 0, 64)} }}

// authenticate leaves HMAC-SHA256(secret, head + body) in s.sum.
func (s *scratch) authenticate(secret string, body []byte) {
	s.key = append(s.key[:0], secret...)
	mac := hmac.New(sha256.New, s.key)
	clear(s.key)
	mac.Write(s.head)
	mac.Write(body)
	mac.Sum(s.sum[:0])
}

// match returns the index of the first secret under which head + body has one
// of the presented MACs, or -1. It computes one HMAC for each secret (one also
// when there is none) and compares it with every presented MAC, whatever
// matched before. An empty secret matches nothing: anyone could sign with it.
func (s *scratch) match(secrets []string, presented []digest, body []byte) int {
	if len(secrets) == 0 {
		s.compare(decoy, presented, body)
		return -1
	}
	found := -1
	for i, secret := range secrets {
		if s.compare(secret, presented, body) && secret != "" && found < 0 {
			found = i
		}
	}
	return found
}

func (s *scratch) compare(secret string, presented []digest, body []byte) bool {
	s.authenticate(secret, body)
	equal := 0
	for i := range presented {
		equal |= subtle.ConstantTimeCompare(s.sum[:], presented[i][:])
	}
	return equal == 1
}
