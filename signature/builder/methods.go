package builder

import (
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // what the API that is called asks for
	"crypto/sha1" //nolint:gosec // as above
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
)

// argument is what a method has in its parentheses.
type argument int

const (
	nothing argument = iota
	textOrTime
	key
	seconds
)

// wants continues a sentence that begins with a method's name.
func (a argument) wants() string {
	switch a {
	case textOrTime:
		return `takes one argument: a text in double quotes, or hash.getExpiryTime(seconds)`
	case key:
		return `takes one argument: the key, in double quotes and not empty`
	case seconds:
		return `takes one argument: a whole number of seconds, of at most nine digits and without quotes`
	default:
		return `takes no argument`
	}
}

// method is one method of the language.
type method struct {
	name     string
	takes    argument
	first    bool // it can begin an expression
	wantText bool // it refuses raw bytes
	makes    result
	apply    func(value []byte, argument string) []byte
}

// result is what a value is after a method.
type result int

const (
	same result = iota // as it was before
	text
	raw
)

const (
	getExpiryTime = "getExpiryTime"
	printDigest   = "printDigest"
)

// methods are all of them, in the order in which people are told.
var methods = []method{
	{name: "append", takes: textOrTime, first: true, apply: add},
	{name: "appendNewLine", first: true, apply: func(v []byte, _ string) []byte { return append(v, '\n') }},
	{name: "encodeMd5", makes: raw, apply: digest(md5.New)},
	{name: "encodeSha1", makes: raw, apply: digest(sha1.New)},
	{name: "encodeHmacSha1", takes: key, makes: raw, apply: keyed(sha1.New)},
	{name: "encodeHmacSha256", takes: key, makes: raw, apply: keyed(sha256.New)},
	{name: "encodeBase64", makes: text, apply: func(v []byte, _ string) []byte { return base64.StdEncoding.AppendEncode(nil, v) }},
	{name: "encodeURL", wantText: true, makes: text, apply: func(v []byte, _ string) []byte { return urlEncode(v) }},
	{name: "toHex", makes: text, apply: func(v []byte, _ string) []byte { return hex.AppendEncode(nil, v) }},
	{name: printDigest, wantText: true, apply: func(v []byte, _ string) []byte { return v }},
	{name: getExpiryTime, takes: seconds, first: true, apply: add},
}

func add(value []byte, argument string) []byte { return append(value, argument...) }

func digest(algorithm func() hash.Hash) func([]byte, string) []byte {
	return func(value []byte, _ string) []byte { return sum(algorithm(), value) }
}

func keyed(algorithm func() hash.Hash) func([]byte, string) []byte {
	return func(value []byte, key string) []byte { return sum(hmac.New(algorithm, []byte(key)), value) }
}

func sum(h hash.Hash, value []byte) []byte {
	h.Write(value)
	return h.Sum(nil)
}

// urlEncode is application/x-www-form-urlencoded (WHATWG URL §5.2), which is
// what Java's URLEncoder does with UTF-8. net/url differs in * and ~.
func urlEncode(value []byte) []byte {
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, 3*len(value))
	for _, c := range value {
		switch {
		case isWord(c), c == '.', c == '-', c == '*':
			out = append(out, c)
		case c == ' ':
			out = append(out, '+')
		default:
			out = append(out, '%', digits[c>>4], digits[c&15])
		}
	}
	return out
}
