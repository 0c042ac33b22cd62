package handler

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"linkrelay/relay"
)

// field is one member a JSON object may have, and where its value goes: one of
// the types that readField knows. A member that is absent leaves its
// destination as it was; null is a wrong type, save for anyJSON.
type field struct {
	name string
	into any
}

type (
	anyJSON    []byte // any value, compacted
	objectJSON []byte // an object, compacted
)

// nested is an object whose members are read in turn.
type nested struct {
	fields []field
	seen   *bool // set when the object is there; may be nil
}

// readJSON reads the body strictly (CONTRACT §3) into fields. Text that is not
// one JSON object with unique names is an error; names that are not known and
// values of a wrong type are recorded as faults, so that all of them are
// answered at once.
func (c *call) readJSON(fields []field) error {
	if c.in == nil {
		if c.body.optional {
			return nil
		}
		return errEmptyBody
	}
	s := c.in
	if err := checkDepth(s.body); err != nil {
		return err
	}
	s.src = *bytes.NewBuffer(s.body)
	s.json.Reset(&s.src)
	if s.json.PeekKind() != jsontext.KindBeginObject {
		if err := s.json.SkipValue(); err != nil {
			return c.malformed(err)
		}
		return relay.NewError(relay.BodyMalformed, "the body must be one JSON object")
	}
	if err := c.readObject(fields); err != nil {
		return c.malformed(err)
	}
	if _, err := s.json.ReadToken(); !errors.Is(err, io.EOF) {
		return relay.NewError(relay.BodyMalformed, "there is more after the JSON object")
	}
	return nil
}

func (c *call) readObject(fields []field) error {
	d := &c.in.json
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != jsontext.KindEndObject {
		name, err := d.ReadValue()
		if err != nil {
			return err
		}
		f, err := c.find(fields, name)
		if err == nil && f == nil {
			err = d.SkipValue()
		} else if err == nil {
			err = c.readField(f)
		}
		if err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// find returns the field of a name as it stands in the JSON text, or records a
// fault and returns nil.
func (c *call) find(fields []field, quoted jsontext.Value) (*field, error) {
	name := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		unquoted, err := jsontext.AppendUnquote(nil, quoted)
		if err != nil {
			return nil, err
		}
		name = unquoted
	}
	for i := range fields {
		if string(name) == fields[i].name {
			return &fields[i], nil
		}
	}
	reason := "is not a known name"
	for i := range fields {
		if strings.EqualFold(string(name), fields[i].name) {
			reason += `; did you mean "` + fields[i].name + `"?`
		}
	}
	c.fault(c.here(), reason)
	return nil, nil
}

// here returns the pointer to what was read last, bounded.
func (c *call) here() string { return bounded(string(c.in.json.StackPointer())) }

func bounded(pointer string) string {
	const limit = 256
	if len(pointer) > limit {
		return strings.ToValidUTF8(pointer[:limit], "") + "…"
	}
	return pointer
}

// readField reads one value. The name before it was read last.
func (c *call) readField(f *field) error {
	d := &c.in.json
	switch into := f.into.(type) {
	case *anyJSON:
		return readRaw(d, (*[]byte)(into))
	case *objectJSON:
		if d.PeekKind() == jsontext.KindBeginObject {
			return readRaw(d, (*[]byte)(into))
		}
		return c.wrongType("must be an object")
	case nested:
		if d.PeekKind() != jsontext.KindBeginObject {
			return c.wrongType("must be an object")
		}
		if into.seen != nil {
			*into.seen = true
		}
		return c.readObject(into.fields)
	case *[]string:
		return c.readStrings(into)
	case *bool:
		if k := d.PeekKind(); k != jsontext.KindTrue && k != jsontext.KindFalse {
			return c.wrongType("must be true or false")
		}
		t, err := d.ReadToken()
		*into = err == nil && t.Bool()
		return err
	case *int64:
		n, err := c.readInteger()
		if n != nil {
			*into = *n
		}
		return err
	case **int64:
		n, err := c.readInteger()
		*into = n
		return err
	case **time.Time:
		at, err := c.readTime()
		*into = at
		return err
	case *string:
		return c.readString(into)
	case **string:
		text := ""
		err := c.readString(&text)
		*into = &text
		return err
	}
	panic("handler: no reader for this kind of field")
}

// wrongType records a fault and skips the value.
func (c *call) wrongType(reason string) error {
	c.fault(c.here(), reason)
	return c.in.json.SkipValue()
}

func readRaw(d *jsontext.Decoder, into *[]byte) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	v = v.Clone()
	err = v.Compact()
	*into = v
	return err
}

func (c *call) readString(into *string) error {
	d := &c.in.json
	if d.PeekKind() != jsontext.KindString {
		return c.wrongType("must be a string")
	}
	t, err := d.ReadToken()
	if err == nil {
		*into = t.String()
	}
	return err
}

// readInteger takes a number written without fraction and exponent. It returns
// nil after a fault.
func (c *call) readInteger() (*int64, error) {
	const reason = "must be a whole number"
	d := &c.in.json
	if d.PeekKind() != jsontext.KindNumber {
		return nil, c.wrongType(reason)
	}
	v, err := d.ReadValue()
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil { // its text would echo the input
		c.fault(c.here(), reason)
		return nil, nil
	}
	return &n, nil
}

// readTime takes an RFC 3339 timestamp. It returns nil after a fault.
func (c *call) readTime() (*time.Time, error) {
	const reason = "must be a time as RFC 3339 has it, like 2030-01-31T12:00:00Z"
	d := &c.in.json
	if d.PeekKind() != jsontext.KindString {
		return nil, c.wrongType(reason)
	}
	t, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	at, err := time.Parse(time.RFC3339, t.String())
	if err != nil { // its text would echo the input
		c.fault(c.here(), reason)
		return nil, nil
	}
	at = at.UTC()
	return &at, nil
}

// readStrings reads an array of strings. What checks the items must use
// faultOnce: one of a wrong type is reported here and left empty.
func (c *call) readStrings(into *[]string) error {
	d := &c.in.json
	if d.PeekKind() != jsontext.KindBeginArray {
		return c.wrongType("must be an array of strings")
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	list := []string{}
	for d.PeekKind() != jsontext.KindEndArray {
		if d.PeekKind() != jsontext.KindString {
			if err := d.SkipValue(); err != nil {
				return err
			}
			c.fault(c.here(), "must be a string")
			list = append(list, "") // so that later items keep their index
			continue
		}
		t, err := d.ReadToken()
		if err != nil {
			return err
		}
		list = append(list, t.String())
	}
	*into = list
	_, err := d.ReadToken()
	return err
}

var byteOrderMark = []byte("\ufeff")

var errEmptyBody = relay.NewError(relay.BodyMalformed, "the body is empty")

// malformed renders a syntax error. Its own text is not used: it quotes the
// input.
func (c *call) malformed(err error) error {
	syntax, _ := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		e := relay.NewError(relay.JSONDuplicateKey, "a name may appear once in an object")
		e.Pointer = bounded(string(syntax.JSONPointer))
		return e
	case bytes.HasPrefix(c.received(), byteOrderMark):
		return relay.NewError(relay.BodyMalformed, "the body begins with a byte order mark; send (and sign) it without")
	case syntax != nil:
		return relay.NewError(relay.BodyMalformed, "not JSON in UTF-8 at byte "+strconv.FormatInt(syntax.ByteOffset, 10))
	case errors.Is(err, io.EOF):
		return errEmptyBody
	}
	return relay.NewError(relay.BodyMalformed, "not JSON in UTF-8")
}

// checkDepth bounds nesting before anything is parsed. In text that is not
// JSON it may count wrongly, but such text is refused either way.
func checkDepth(body []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch b := body[i]; {
		case inString && b == '\\':
			i++
		case b == '"':
			inString = !inString
		case inString:
		case b == '{' || b == '[':
			if depth++; depth > relay.MaxJSONDepth {
				return relay.Errorf(relay.BodyMalformed, "nested deeper than %d at byte %d", relay.MaxJSONDepth, i)
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return nil
}
