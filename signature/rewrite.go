package signature

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// rewritings are the ways in which common programs write a JSON document again,
// for scripts that sign one serialisation and send another.
var rewritings = []struct {
	mistake mistake
	style   jsonStyle
}{
	{bodyCompact, jsonStyle{comma: ",", colon: ":", ascii: none}},                  // JSON.stringify
	{bodySpaced, jsonStyle{comma: ", ", colon: ": ", ascii: python}},               // json.dumps
	{bodySpaced, jsonStyle{comma: ", ", colon: ": ", ascii: none}},                 // with ensure_ascii=False
	{bodySorted, jsonStyle{comma: ", ", colon: ": ", ascii: python, sorted: true}}, // with sort_keys=True
	{bodySorted, jsonStyle{comma: ",", colon: ":", ascii: python, sorted: true}},   // with separators as well
	{bodySorted, jsonStyle{comma: ",", colon: ":", ascii: none, sorted: true}},     // jq -cS
	{bodyEscaped, jsonStyle{comma: ",", colon: ":", ascii: php, slash: true}},      // json_encode
}

// jsonStyle is how a program writes JSON.
type jsonStyle struct {
	comma, colon string
	ascii        rune // the first character that is written as \u escapes
	slash        bool // a slash is written with a backslash before it
	sorted       bool // names are in order
}

// Where the ASCII that is written as it is ends.
const (
	python rune = 0x7f
	php    rune = 0x80
	none   rune = utf8.MaxRune + 1
)

// jsonValue is a JSON document with its names in the order of the text.
type jsonValue struct {
	open   byte // { or [; 0 of a scalar
	names  []string
	values []jsonValue
	scalar any // string, json.Number, bool or nil
}

// No accepted body is nested deeper or has more values. Beyond that, trying its
// rewritings would cost more than the HMACs.
const (
	maxDepth  = 32
	maxValues = 512
)

// readJSON returns the document, and false when the body is no JSON object, or
// one that is too large.
func readJSON(body []byte) (v jsonValue, ok bool) {
	if !json.Valid(body) || bytes.TrimLeft(body, " \t\r\n")[0] != '{' {
		return v, false
	}
	r := jsonReader{json.NewDecoder(bytes.NewReader(body)), maxValues}
	r.UseNumber()
	return r.read(maxDepth)
}

type jsonReader struct {
	*json.Decoder
	left int // values that may still come
}

// read returns the next value of a valid document.
func (r *jsonReader) read(depth int) (v jsonValue, ok bool) {
	if r.left--; r.left < 0 || depth < 0 {
		return v, false
	}
	token, _ := r.Token()
	delimiter, nested := token.(json.Delim)
	if !nested {
		return jsonValue{scalar: token}, true
	}
	v.open = delimiter.String()[0]
	for r.More() {
		if v.open == '{' {
			name, _ := r.Token()
			v.names = append(v.names, name.(string))
		}
		child, ok := r.read(depth - 1)
		if !ok {
			return v, false
		}
		v.values = append(v.values, child)
	}
	_, _ = r.Token() // the closing bracket
	return v, true
}

// write appends the document in this style.
func (s jsonStyle) write(b []byte, v jsonValue) []byte {
	if v.open == 0 {
		return s.writeScalar(b, v.scalar)
	}
	order := make([]int, len(v.values))
	for i := range order {
		order[i] = i
	}
	if s.sorted && v.open == '{' {
		slices.SortStableFunc(order, func(i, j int) int { return strings.Compare(v.names[i], v.names[j]) })
	}
	b = append(b, v.open)
	for n, i := range order {
		if n > 0 {
			b = append(b, s.comma...)
		}
		if v.open == '{' {
			b = append(s.writeString(b, v.names[i]), s.colon...)
		}
		b = s.write(b, v.values[i])
	}
	return append(b, v.open+2) // ASCII has each closing bracket two after its opening one
}

func (s jsonStyle) writeScalar(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return s.writeString(b, v)
	case json.Number:
		return append(b, v...)
	case bool:
		return strconv.AppendBool(b, v)
	default:
		return append(b, "null"...)
	}
}

func (s jsonStyle) writeString(b []byte, text string) []byte {
	b = append(b, '"')
	for _, r := range text {
		if ' ' <= r && r < s.ascii && r != '"' && r != '\\' && (r != '/' || !s.slash) {
			b = utf8.AppendRune(b, r)
		} else {
			b = appendEscape(b, r)
		}
	}
	return append(b, '"')
}

// appendEscape writes a character as everybody does who escapes it.
func appendEscape(b []byte, r rune) []byte {
	const short, letters = "/\"\\\b\f\n\r\t", `/"\bfnrt`
	if i := strings.IndexRune(short, r); i >= 0 {
		return append(b, '\\', letters[i])
	}
	var units [2]uint16
	for _, unit := range utf16.AppendRune(units[:0], r) {
		b = hex.AppendEncode(append(b, `\u`...), binary.BigEndian.AppendUint16(nil, unit))
	}
	return b
}
