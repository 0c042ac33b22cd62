package builder

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Parse reads a template. The error is an *Error.
func Parse(template string) (*Template, error) {
	p := &parser{source: template}
	t := &Template{source: template}
	if err := p.check(); err != nil {
		return nil, err
	}
	for {
		literal, more, err := p.literal()
		if err != nil {
			return nil, err
		}
		if !more {
			t.parts = append(t.parts, part{text: literal})
			return t, nil
		}
		calls, err := p.expression()
		if err != nil {
			return nil, err
		}
		t.parts = append(t.parts, part{literal, calls})
	}
}

// parser reads expressions from left to right, one token ahead.
type parser struct {
	source string
	place  int    // what was read, in bytes
	token  token  // the one at hand
	method string // the last one named, which mistakes belong to
}

// check refuses what no place in the template is to blame for.
func (p *parser) check() *Error {
	if len(p.source) > MaxSize {
		return p.fail(templateTooLong)
	}
	for i := range p.source {
		if r, size := utf8.DecodeRuneInString(p.source[i:]); r == utf8.RuneError && size == 1 {
			p.token.at = i
			return p.fail(notUTF8)
		}
	}
	return nil
}

// literal reads the text up to the next expression, and its brace.
func (p *parser) literal() (text string, more bool, err *Error) {
	rest := p.source[p.place:]
	i := strings.IndexAny(rest, "{}")
	if i < 0 {
		return rest, false, nil
	}
	p.method, p.token.at = "", p.place+i
	if rest[i] == '}' {
		return "", false, p.fail(strayBrace)
	}
	p.place += i + 1
	return rest[:i], true, nil
}

// expression reads everything between two braces, and the closing one.
func (p *parser) expression() ([]call, *Error) {
	brace := p.token.at
	if err := p.scan(); err != nil {
		return nil, err
	}
	if !p.token.is(word, "hash") {
		p.token.at = brace
		return nil, p.fail(noHash)
	}
	if err := p.scan(); err != nil {
		return nil, err
	}
	c := chain{parser: p}
	for p.token.is(mark, ".") {
		if err := c.next(); err != nil {
			return nil, err
		}
	}
	return c.calls, c.close()
}

// name reads the method behind a dot, and its opening parenthesis.
func (p *parser) name() (*method, int, *Error) {
	if err := p.scan(); err != nil {
		return nil, 0, err
	}
	named := p.token
	if named.kind != word {
		return nil, 0, p.fail(noName)
	}
	m := find(named.text)
	if m != nil {
		p.method = m.name
	}
	if err := p.scan(); err != nil {
		return nil, 0, err
	}
	switch opened := p.token.is(mark, "("); {
	case m == nil:
		p.token = named
		return nil, 0, p.unknown(named.text, opened)
	case !opened:
		return nil, 0, p.fail(noParenthesis)
	}
	return m, named.at, nil
}

// arguments reads what a method has in its parentheses, the closing one, and
// the token behind.
func (p *parser) arguments(m *method) (c call, err *Error) {
	c.method = m
	if err := p.scan(); err != nil {
		return c, err
	}
	switch t := p.token; {
	case m.takes == nothing:
		return c, p.closeArguments(c)
	case m.takes == textOrTime && t.is(word, "hash"):
		return p.timeArgument(m)
	case m.takes == textOrTime && t.kind == quoted, m.takes == key && t.kind == quoted && t.text != "":
		c.text = t.text
	case m.takes == seconds && t.kind == number && len(t.text) <= maxDigits:
		c.timed = true
		c.seconds, _ = strconv.ParseInt(t.text, 10, 64) // nine digits at most
	case m.takes != seconds && t.kind == mark && isQuoteLike(t.text):
		return c, p.fail(foreignQuote)
	default:
		return c, p.fail(m.takes.wants())
	}
	if err := p.scan(); err != nil {
		return c, err
	}
	return c, p.closeArguments(c)
}

// timeArgument reads hash.getExpiryTime(n) as the argument of append.
func (p *parser) timeArgument(outer *method) (c call, err *Error) {
	if err := p.scan(); err != nil {
		return c, err
	}
	if !p.token.is(mark, ".") {
		return c, p.fail(outer.takes.wants())
	}
	inner, at, err := p.name()
	if err != nil {
		return c, err
	}
	if inner.takes != seconds {
		p.token.at = at
		return c, p.fail(noArgument)
	}
	if c, err = p.arguments(inner); err != nil {
		return c, err
	}
	c.method, p.method = outer, outer.name
	return c, p.closeArguments(c)
}

// closeArguments wants the closing parenthesis at hand, and reads on.
func (p *parser) closeArguments(c call) *Error {
	switch t := p.token; {
	case t.is(mark, ")"):
		return p.scan()
	case t.kind == end, t.is(mark, ";"), t.is(mark, "}"):
		return p.fail(noClosing)
	case c.method.takes == nothing, c.timed, t.is(mark, ","):
		return p.fail(c.method.takes.wants())
	}
	return p.fail(quoteClosed)
}
