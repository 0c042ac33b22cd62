package signature

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// What a text that is no signature may be. Each hint continues the form that a
// HeaderError gives as its Reason.
const (
	sha1Hint   = "; 40 hex digits look like SHA-1"
	sha512Hint = "; 128 hex digits look like SHA-512"
	twiceHint  = "; 88 characters look like base64 of the hex digits: send the hex digits themselves, or base64 of the bytes where that is allowed"
	escapeHint = "; a % in it looks like percent-encoding, here or once too often"
)

// addMAC takes one presented signature: hex of either case, or base64, which
// is only diagnosed where the scheme wants hex. False when it is neither.
func (p *Proof) addMAC(text string) bool {
	d := &p.macs[p.count]
	switch {
	case decodeHex(d[:], text):
	case decodeBase64(d[:], text):
		p.base64 |= 1 << p.count
	default:
		return false
	}
	p.count++
	return true
}

// addQueryMAC takes hex or base64 of 32 or 20 bytes: the lengths of the four
// forms differ, so a text has one meaning at most.
func (p *Proof) addQueryMAC(text string) bool {
	d := &p.macs[0]
	p.count = 1
	if decodeHex(d[:], text) || decodeBase64(d[:], text) {
		return true
	}
	p.SHA1 = true
	return decodeHex(d[:sha1Size], text) || decodeBase64(d[:sha1Size], text)
}

func decodeHex(d []byte, text string) bool {
	if len(text) != hex.EncodedLen(len(d)) {
		return false
	}
	_, err := hex.Decode(d, []byte(text))
	return err == nil
}

// decodeBase64 reads both alphabets, with the padding and without. Strictly:
// a MAC has one text in each of the four forms.
func decodeBase64(d []byte, text string) bool {
	text = strings.TrimSuffix(text, "=") // 32 and 20 bytes are padded with one
	if len(text) != base64.RawStdEncoding.EncodedLen(len(d)) {
		return false
	}
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(text, "-_") {
		encoding = base64.RawURLEncoding
	}
	n, err := encoding.Strict().Decode(d, []byte(text))
	return err == nil && n == len(d) // less when there are line breaks, which the decoder skips
}

// macReason returns the form that a signature must have, with a hint at what
// the text that was sent looks like.
func macReason(form, text string) string {
	switch digits := within(text, 1, len(text), isHexDigit); {
	case digits && len(text) == 40:
		return form + sha1Hint
	case digits && len(text) == 128:
		return form + sha512Hint
	case len(text) == 88:
		return form + twiceHint
	case strings.Contains(text, "%"):
		return form + escapeHint
	}
	return form
}
