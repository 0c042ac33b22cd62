package builder

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Error is a mistake in a template.
type Error struct {
	Line, Column int    // where, both from 1; columns are characters, not bytes
	Method       string // the method it is in, without parentheses; "" outside of any
	Reason       string // continues a sentence that begins with the method's name; holds nothing that stood in quotes
}

// Error implements error.
func (e *Error) Error() string {
	where := "line " + strconv.Itoa(e.Line) + ", column " + strconv.Itoa(e.Column) + ": "
	if e.Method != "" {
		where += e.Method + "(): "
	}
	return where + e.Reason
}

const maxDigits = 9 // of getExpiryTime's seconds: 31 years

// The reasons that do not depend on what was written.
const (
	templateTooLong = "the template is longer than 65536 bytes"
	notUTF8         = "the template is not UTF-8 text"
	strayBrace      = "this } closes nothing; a brace that is part of the URL is written %7D"
	noHash          = "an expression begins with hash. and a method; a brace that is part of the URL is written %7B"
	noMethod        = "a dot and a method follow hash, such as hash.append(…)"
	noName          = "a dot is followed by the name of a method"
	noParenthesis   = "( follows the name of a method"
	noClosing       = "its closing ) is missing"
	noArgument      = "cannot stand inside another method; only hash.getExpiryTime(seconds) can"
	noDot           = "a dot and the next method, or a semicolon, follows its )"
	noPrint         = "is the last method here, and an expression ends with .printDigest();"
	noSemicolon     = "a semicolon is missing behind it, before the closing brace"
	noBrace         = "the closing brace is missing behind its semicolon"
	quoteOpen       = "the quoted text that begins here has no closing quote on this line"
	quoteClosed     = `the quoted text has ended and no ) follows: is a closing quote missing before, or is a quote inside it not written \"?`
	foreignQuote    = `a text stands in straight double quotes, "…"`
	badEscape       = `in quotes a backslash can only be \" or \\; a line break is appendNewLine()`
	nothingYet      = "has nothing to work on: an expression begins with append() or appendNewLine()"
	afterPrint      = "nothing can follow printDigest() but a semicolon"
	afterTime       = "nothing can follow a standalone getExpiryTime() but a semicolon; to go on from a time, begin with hash.append(hash.getExpiryTime(seconds))"
	timeInChain     = "stands inside append(), or alone in its braces"
	valueTooLong    = "makes the value longer than 65536 bytes"
	resultTooLong   = "the rendered text is longer than 65536 bytes"
)

// fail makes a mistake of the token at hand.
func (p *parser) fail(reason string) *Error {
	return newError(p.source, p.token.at, p.method, reason)
}

// unknown makes a mistake of a name that is no method. The name is repeated
// only where it is used as one: what lacks its quotes could be a secret.
func (p *parser) unknown(name string, opened bool) *Error {
	if p.method = ""; opened && len(name) <= longName {
		p.method = name
	}
	if near := nearest(name); near != "" {
		return p.fail("there is no such method; did you mean " + near + "()?")
	}
	names := make([]string, len(methods))
	for i, m := range methods {
		names[i] = m.name
	}
	return p.fail("there is no such method; there are " + strings.Join(names, ", "))
}

// newError finds line and column of a place in bytes.
func newError(source string, at int, method, reason string) *Error {
	before := source[:at]
	line := before[strings.LastIndexByte(before, '\n')+1:]
	return &Error{Line: 1 + strings.Count(before, "\n"), Column: 1 + utf8.RuneCountInString(line), Method: method, Reason: reason}
}

// Excerpt shows the place in the template that Parse was given: its line, cut
// to what surrounds the mistake, and a caret below it. From the first brace or quote on
// everything but the language's own words and marks is replaced by asterisks,
// since templates hold secrets.
func (e *Error) Excerpt(template string) string {
	lines := strings.Split(mask(template), "\n")
	if e.Line > len(lines) {
		return ""
	}
	line, at := []rune(lines[e.Line-1]), e.Column-1
	from, to := max(0, at-excerptAround), min(len(line), at+excerptAround)
	return fmt.Sprintf("%s\n%s^", string(line[from:to]), strings.Repeat(" ", at-from))
}

const excerptAround = 60 // characters
