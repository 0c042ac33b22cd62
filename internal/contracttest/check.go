package contracttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const problemType = "application/problem+json"

// Exchange is one request and its answer, as they went over the wire.
type Exchange struct {
	Method, Target string // Target is path and query as sent
	Request        http.Header
	RequestBody    []byte
	Status         int
	Answer         http.Header
	AnswerBody     []byte
	Whole          bool // false: the reader left before the answer's end
}

// iklimMembers are what problems say in addition under scheme iklim (seed 004).
var iklimMembers = []string{"timestamp", "error", "message", "path"}

// ofHTTP are headers that belong to the connection or the message, not to the
// contract.
var ofHTTP = []string{"Content-Type", "Content-Length", "Date", "Connection", "Transfer-Encoding"}

// Check returns everything about the exchange that the document does not say
// or says otherwise, and counts it. Requests are judged only if they were
// granted: the others are wrong on purpose.
func (c *Contract) Check(e *Exchange) []string {
	f := &faults{}
	path, query, _ := strings.Cut(e.Target, "?")
	op, params := c.find(e.Method, path)
	response, name := c.elsewhere[e.Status], e.Method+" "+path+", no operation"
	if op != nil {
		response, name = op.responses[e.Status], op.id
		c.count(name + " " + strconv.Itoa(e.Status))
		if e.Status < 300 {
			f.in("the request")
			op.checkRequest(f, e, params, query)
		}
	}
	f.in("the answer")
	if response == nil {
		f.add("status %d is not documented", e.Status)
	} else if code := response.check(f, e); code != "" {
		c.count(name + " " + strconv.Itoa(e.Status) + " " + code)
	}
	for i := range f.found {
		f.found[i] = fmt.Sprintf("%s → %d: %s", name, e.Status, f.found[i])
	}
	return f.found
}

// find returns the operation of a request and its path parameters.
func (c *Contract) find(method, path string) (*operation, []string) {
	segments := strings.Split(path, "/")
	for _, op := range c.operations {
		if op.method != method || len(op.path) != len(segments) {
			continue
		}
		var params []string
		same := true
		for i, want := range op.path {
			if want == "" && i > 0 {
				params = append(params, segments[i])
			} else if want != segments[i] {
				same = false
			}
		}
		if same {
			return op, params
		}
	}
	return nil, nil
}

type faults struct {
	where string
	found []string
}

func (f *faults) in(where string) { f.where = where }

func (f *faults) add(format string, args ...any) {
	f.found = append(f.found, f.where+": "+fmt.Sprintf(format, args...))
}

func (f *faults) schema(what string, s *jsonschema.Schema, value any) {
	if s == nil {
		return
	}
	if err := s.Validate(value); err != nil {
		f.add("%s: %v", what, err)
	}
}

// json decodes strictly enough for a schema: numbers stay as they are written.
func (f *faults) json(what string, text []byte) (value any, ok bool) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		f.add("%s is not JSON: %v", what, err)
	}
	return value, err == nil
}

func (op *operation) checkRequest(f *faults, e *Exchange, pathValues []string, rawQuery string) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		f.add("query: %v", err)
	}
	signed := op.checkSecurity(f, e.Request, query)
	for _, p := range op.params {
		value, ok := "", false
		switch p.in {
		case "path":
			value, ok = pathValues[0], true
			pathValues = pathValues[1:]
		case "query":
			value, ok = query.Get(p.name), query.Has(p.name)
			query.Del(p.name)
		case "header":
			value, ok = e.Request.Get(p.name), e.Request.Get(p.name) != ""
		}
		if ok {
			f.schema(p.in+" parameter "+p.name, p.schema, p.value(value))
		} else if p.required {
			f.add("%s parameter %s is missing", p.in, p.name)
		}
	}
	if len(op.security) > 0 { // what is public is for any client, and takes any query
		for name := range query {
			if !slices.Contains(signed, credential{"query", name}) {
				f.add("query parameter %s is not documented", name)
			}
		}
	}
	op.checkRequestBody(f, e, slices.ContainsFunc(signed, func(s credential) bool { return s.in == "query" }))
}

// value is a parameter's text as the type that its schema is about.
func (p param) value(text string) any {
	if _, err := strconv.Atoi(text); p.integer && err == nil {
		return json.Number(text)
	}
	return text
}

// checkSecurity returns the credentials of the alternative that was used.
func (op *operation) checkSecurity(f *faults, h http.Header, query url.Values) []credential {
	if query.Has("signedAuthentication") { // the documented alias
		query["Signature"] = append(query["Signature"], query["signedAuthentication"]...)
		query.Del("signedAuthentication")
	}
	sent := func(c credential) bool {
		return c.in == "query" && query.Has(c.name) || c.in == "header" && h.Get(c.name) != ""
	}
	for _, alternative := range op.security {
		if !slices.ContainsFunc(alternative, func(c credential) bool { return !sent(c) }) {
			return alternative
		}
	}
	if len(op.security) > 0 {
		f.add("none of the documented ways to sign was used")
	}
	return nil
}

// checkRequestBody judges the body. One that is not required may still only be
// left out under a scheme that signs the query instead.
func (op *operation) checkRequestBody(f *faults, e *Exchange, querySigned bool) {
	if len(e.RequestBody) == 0 {
		if op.needsBody {
			f.add("the body is missing")
		}
		return
	}
	if op.body == nil || querySigned {
		f.add("a body is not documented")
		return
	}
	kind, _, err := mime.ParseMediaType(e.Request.Get("Content-Type"))
	schema, ok := op.body[kind]
	if err != nil || !ok {
		f.add("Content-Type %q is not documented", e.Request.Get("Content-Type"))
		return
	}
	if value, ok := f.json("the body", e.RequestBody); ok {
		f.schema("body", schema, value)
	}
}

// check returns the code if the answer is a problem.
func (r *response) check(f *faults, e *Exchange) (code string) {
	for name, h := range r.headers {
		switch values := e.Answer.Values(name); {
		case len(values) > 1:
			f.add("header %s was sent %d times", name, len(values))
		case len(values) == 1:
			f.schema("header "+name, h.schema, values[0])
		case h.required:
			f.add("header %s is missing", name)
		}
	}
	for name := range e.Answer {
		if _, ok := r.headers[name]; !ok && !slices.Contains(ofHTTP, name) {
			f.add("header %s is not documented", name)
		}
	}
	kind := e.Answer.Get("Content-Type")
	m, ok := r.content[kind]
	switch {
	case e.Method == http.MethodHead || len(r.content) == 0:
		if len(e.AnswerBody) > 0 {
			f.add("there is a body where none is documented")
		}
		return ""
	case !ok:
		f.add("Content-Type %q is not documented", kind)
		return ""
	}
	return m.check(f, e, kind)
}

func (m media) check(f *faults, e *Exchange, kind string) (code string) {
	switch {
	case m.frames != nil:
		m.checkFrames(f, e)
	case !e.Whole:
	case strings.HasSuffix(kind, "json"):
		value, ok := f.json("the body", e.AnswerBody)
		if !ok {
			return ""
		}
		f.schema("body", m.schema, value)
		if members, ok := value.(map[string]any); ok && m.codes != nil {
			return m.checkProblem(f, e, members)
		}
	default:
		f.schema("body", m.schema, string(e.AnswerBody))
	}
	return ""
}

// checkProblem compares a problem with the example of its code: what all
// problems with that code say, and which members they have.
func (m media) checkProblem(f *faults, e *Exchange, got map[string]any) string {
	code, _ := got["code"].(string)
	known, ok := m.codes[code]
	if !ok {
		f.add("code %q is not documented for this status", code)
		return code
	}
	for _, name := range []string{"type", "title", "status", "retryable"} {
		if fmt.Sprint(got[name]) != fmt.Sprint(known.example[name]) {
			f.add("%s is %v, documented is %v", name, got[name], known.example[name])
		}
	}
	if id := e.Answer.Get("X-Request-Id"); got["requestId"] != id {
		f.add("requestId is %v, X-Request-Id %q", got["requestId"], id)
	}
	iklim := (e.Request.Get("X-Signature") != "" || e.Request.Get("X-Api-Key") != "") && e.Request.Get("X-Link-Peeler-Key") == ""
	for name := range got {
		if _, ok := known.example[name]; !ok && (!iklim || !slices.Contains(iklimMembers, name)) {
			f.add("%s is no member of code %s", name, code)
		}
	}
	for name := range known.example {
		if _, ok := got[name]; !ok && !slices.Contains(known.optional, name) {
			f.add("%s is missing, a member of code %s", name, code)
		}
	}
	return code
}

// checkFrames judges the whole frames of an event stream. The last one may have
// been cut off by whoever read it.
func (m media) checkFrames(f *faults, e *Exchange) {
	text := string(e.AnswerBody)
	for {
		frame, rest, whole := strings.Cut(text, "\n\n")
		if !whole {
			return
		}
		text = rest
		head, data, ok := strings.Cut(frame, "\ndata: ")
		event, named := strings.CutPrefix(head, "event: ")
		schema, known := m.frames[event]
		if !ok || !named || !known || strings.Contains(data, "\n") {
			f.add("frame %q is not documented", frame)
			continue
		}
		if value, ok := f.json("frame "+event, []byte(data)); ok {
			f.schema("frame "+event, schema, value)
		}
	}
}
