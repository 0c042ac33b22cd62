package signature

import (
	"encoding/base64"
	"strings"
)

// wrongKeys are the keys that scripts make of a secret by mistake. Each must be
// as good as impossible to guess for a secret of NewSecret's form, or a stranger
// could be told that he holds it. So only decoders that read the whole text are
// here: Node's Buffer.from(secret, "hex") ends at the l of lps_ and PHP's
// hex2bin fails, which leaves an empty key that anybody can sign with.
var wrongKeys = []struct {
	mistake mistake
	key     func(secret string) string
}{
	{secretHexDecoded, packHex},
	{secretBase64Decoded, unBase64},
	{secretBase64Decoded, func(s string) string { return unBase64(strings.ReplaceAll(s, "_", "")) }},
	{secretBase64Decoded, func(s string) string { return unBase64(withoutPrefix(s)) }},
	{secretLineBreak, func(s string) string { return s + "\n" }},
	{secretLineBreak, func(s string) string { return s + "\r" }},
	{secretLineBreak, func(s string) string { return s + "\r\n" }},
	{secretQuoted, func(s string) string { return `"` + s + `"` }},
	{secretQuoted, func(s string) string { return "'" + s + "'" }},
	{secretPadded, func(s string) string { return " " + s }},
	{secretPadded, func(s string) string { return s + " " }},
	{secretPadded, func(s string) string { return byteOrderMark + s }},
	{secretWithoutPrefix, withoutPrefix},
}

// byteOrderMark is what editors and PowerShell put before a text in UTF-8.
const byteOrderMark = "\uFEFF"

func withoutPrefix(secret string) string { return strings.TrimPrefix(secret, secretPrefix) }

// packHex decodes hex as pack("H*") of Perl and Ruby does, which takes any
// character for a digit. That keeps more than 3.5 of a base62 character's 6 bits,
// so more than 150 bits of a secret.
func packHex(text string) string {
	b := make([]byte, (len(text)+1)/2)
	for i := range len(text) {
		nibble := text[i] & 15
		if isAlnum(text[i]) && !isDigit(text[i]) {
			nibble = (nibble + 9) & 15
		}
		b[i/2] |= nibble << (4 * (1 - i%2))
	}
	return string(b)
}

// unBase64 decodes base64 as Node does: in either alphabet, and without the last
// character when that is one too many. PHP, and Python without validate, take _
// for no character at all.
func unBase64(text string) string {
	if len(text)%4 == 1 {
		text = text[:len(text)-1]
	}
	raw, _ := base64.RawURLEncoding.DecodeString(text)
	return string(raw)
}
