package builder

import (
	"fmt"
	"strconv"
	"time"
)

// MaxSize is how many bytes a template, a value on its way and a rendering may
// have. URLs are far shorter.
const MaxSize = 64 << 10

// Template is a parsed template. Its methods are safe for concurrent use.
type Template struct {
	source string // for the places of mistakes that rendering finds
	parts  []part
}

// part is a stretch of text and the expression behind it; the last part of a
// template has none.
type part struct {
	text  string
	calls []call
}

// call is one method with its argument.
type call struct {
	method  *method
	at      int    // where its name is in the template, in bytes
	text    string // its quoted argument
	timed   bool   // its argument is the time, so many seconds on
	seconds int64
}

// Format implements fmt.Formatter for every verb: a template holds secrets.
func (t *Template) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "template(%d bytes)", len(t.source))
}

// Render evaluates the template at now, whose whole seconds are what every
// getExpiryTime counts from. The same now gives the same text. The error is an
// *Error, for a value or a result of more than MaxSize bytes.
func (t *Template) Render(now time.Time) (string, error) {
	var out []byte
	for _, p := range t.parts {
		out = append(out, p.text...)
		value, err := t.evaluate(p.calls, now)
		if err != nil {
			return "", err
		}
		if out = append(out, value...); len(out) > MaxSize {
			return "", newError(t.source, 0, "", resultTooLong)
		}
	}
	return string(out), nil
}

func (t *Template) evaluate(calls []call, now time.Time) (value []byte, err error) {
	for _, c := range calls {
		argument := c.text
		if c.timed {
			argument = strconv.FormatInt(now.Unix()+c.seconds, 10)
		}
		if value = c.method.apply(value, argument); len(value) > MaxSize {
			return nil, newError(t.source, c.at, c.method.name, valueTooLong)
		}
	}
	return value, nil
}
