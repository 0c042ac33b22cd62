package signature

import (
	"crypto/rand"
	"strings"
	"unicode"
)

// crockford is Crockford's base32: no I, L, O (they look like 1, 1, 0) and no U.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// NewLinkCode returns a fresh link code for a person to read and type: 16
// characters of Crockford base32 in groups of four, "7ZQ4-9K2M-0XWD-C3HB".
// That is 80 random bits, more than the 64 that CONTRACT §4 asks for.
func NewLinkCode() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails: see crypto/rand
	var code strings.Builder
	for i, b := range random {
		if i > 0 && i%4 == 0 {
			code.WriteByte('-')
		}
		code.WriteByte(crockford[b%32]) // 32 divides 256: no bias
	}
	return code.String()
}

// NormalizeLinkCode returns the one text that every way of typing a link code
// becomes: upper case, without spaces and dashes of any kind, with I and L read
// as 1 and O as 0. It does not judge whether the text can be a link code.
func NormalizeLinkCode(code string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) {
			return -1
		}
		if 'a' <= r && r <= 'z' {
			r -= 'a' - 'A'
		}
		switch r {
		case 'I', 'L':
			return '1'
		case 'O':
			return '0'
		}
		return r
	}, code)
}
