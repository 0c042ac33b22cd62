package builder

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// kind is what a token is.
type kind int

const (
	end    kind = iota // of the template
	word               // a name
	number             // decimal digits
	quoted             // a text in double quotes
	mark               // any other character
)

// token is one piece of an expression.
type token struct {
	kind kind
	text string // of a quoted text, what it means
	at   int    // where it begins in the template, in bytes
}

func (t token) is(k kind, text string) bool { return t.kind == k && t.text == text }

// scan reads the token at the parser's place into p.token.
func (p *parser) scan() *Error {
	rest := strings.TrimLeft(p.source[p.place:], " \t\r\n")
	p.place = len(p.source) - len(rest)
	p.token = token{at: p.place}
	switch {
	case rest == "":
		return nil
	case rest[0] == '"':
		return p.scanQuoted(rest)
	case isDigit(rest[0]):
		p.take(number, span(rest, isDigit))
	case isWord(rest[0]):
		p.take(word, span(rest, isWord))
	default:
		_, size := utf8.DecodeRuneInString(rest)
		p.take(mark, rest[:size])
	}
	return nil
}

func (p *parser) take(k kind, text string) {
	p.token.kind, p.token.text = k, text
	p.place += len(text)
}

// scanQuoted reads a quoted text; rest begins with its quote.
func (p *parser) scanQuoted(rest string) *Error {
	var meaning strings.Builder
	for i := 1; i < len(rest); i++ {
		switch c := rest[i]; c {
		case '"':
			p.token.kind, p.token.text = quoted, meaning.String()
			p.place += i + 1
			return nil
		case '\r', '\n':
			return p.fail(quoteOpen)
		case '\\':
			i++
			if i == len(rest) || rest[i] != '"' && rest[i] != '\\' {
				p.token.at += i - 1
				return p.fail(badEscape)
			}
			meaning.WriteByte(rest[i])
		default:
			meaning.WriteByte(c)
		}
	}
	return p.fail(quoteOpen)
}

// isQuoteLike reports whether a character is what word processors, and other
// languages, have for a double quote.
func isQuoteLike(text string) bool {
	r, _ := utf8.DecodeRuneInString(text)
	return r == '\'' || r == '`' || r == '„' || unicode.In(r, unicode.Pi, unicode.Pf)
}

func span(s string, allowed func(byte) bool) string {
	for i := range len(s) {
		if !allowed(s[i]) {
			return s[:i]
		}
	}
	return s
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isWord(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
}
