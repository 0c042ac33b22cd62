package contracttest

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Contract is what an OpenAPI document promises, ready to be held against
// exchanges. It is safe for concurrent use.
type Contract struct {
	operations []*operation
	elsewhere  map[int]*response // to requests that are no operation's

	mu   sync.Mutex
	seen map[string]int // operation and status → exchanges
}

// operation is one method of one path.
type operation struct {
	id, method string
	path       []string // segments; "" stands for a parameter
	params     []param
	body       map[string]*jsonschema.Schema // by media type; nil if it takes none
	needsBody  bool
	security   [][]credential // any of which, each whole
	responses  map[int]*response
}

type param struct {
	in, name string
	required bool
	integer  bool
	schema   *jsonschema.Schema
}

// credential is one header or query parameter that proves something.
type credential struct{ in, name string }

type response struct {
	headers map[string]header // by canonical name
	content map[string]media
}

type header struct {
	required bool
	schema   *jsonschema.Schema
}

type media struct {
	schema *jsonschema.Schema
	frames map[string]*jsonschema.Schema // of an event stream, by event
	codes  map[string]problem            // of a problem document
}

// problem is what the document says of one error code.
type problem struct {
	example  map[string]any
	optional []string // members of the example that may be absent
}

// New reads an OpenAPI 3.1 document: paths, parameters, bodies, security,
// responses with headers. Two extensions of our own are understood: x-frames of
// an event stream, and x-optional of an example that shows an error code.
func New(text []byte) (*Contract, error) {
	d, err := read(text)
	if err != nil {
		return nil, err
	}
	c := &Contract{elsewhere: map[int]*response{}, seen: map[string]int{}}
	root := node{d, "", d.root}
	for path := range root.at("paths").members {
		for method := range root.at("paths", path).members {
			op, err := newOperation(root, path, method)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			c.operations = append(c.operations, op)
		}
	}
	for status, name := range map[int]string{404: "NotFound", 405: "MethodNotAllowed", 431: "HeadersTooLarge"} {
		if c.elsewhere[status], err = newResponse(root.at("components", "responses", name)); err != nil {
			return nil, err
		}
	}
	// The more exact path comes first: /jobs/stream before /jobs/{id}.
	slices.SortFunc(c.operations, func(a, b *operation) int {
		return cmp.Or(cmp.Compare(strings.Count(a.id, "{"), strings.Count(b.id, "{")), cmp.Compare(a.id, b.id))
	})
	return c, nil
}

func newOperation(root node, path, method string) (*operation, error) {
	n := root.at("paths", path, method)
	op := &operation{id: strings.ToUpper(method) + " " + path, method: strings.ToUpper(method), responses: map[int]*response{}}
	for segment := range strings.SplitSeq(path, "/") {
		if strings.HasPrefix(segment, "{") {
			segment = ""
		}
		op.path = append(op.path, segment)
	}
	for _, p := range n.items("parameters") {
		schema, err := p.schema("schema")
		if err != nil {
			return nil, err
		}
		op.params = append(op.params, param{p.text("in"), p.text("name"), p.flag("required"), p.at("schema").text("type") == "integer", schema})
	}
	for _, alternative := range n.items("security") {
		var all []credential
		for name := range alternative.members {
			s := root.at("components", "securitySchemes", name)
			all = append(all, credential{s.text("in"), s.text("name")})
		}
		op.security = append(op.security, all)
	}
	if body := n.at("requestBody"); body.members != nil {
		op.needsBody, op.body = body.flag("required"), map[string]*jsonschema.Schema{}
		for kind := range body.at("content").members {
			var err error
			if op.body[kind], err = body.at("content", kind).schema("schema"); err != nil {
				return nil, err
			}
		}
	}
	for status := range n.at("responses").members {
		number, err := strconv.Atoi(status)
		if err != nil {
			return nil, fmt.Errorf("contracttest: response %q: only single statuses are checked", status)
		}
		if op.responses[number], err = newResponse(n.at("responses", status)); err != nil {
			return nil, err
		}
	}
	return op, nil
}

func newResponse(n node) (*response, error) {
	r := &response{headers: map[string]header{}, content: map[string]media{}}
	for name := range n.at("headers").members {
		h := n.at("headers", name)
		schema, err := h.schema("schema")
		if err != nil {
			return nil, err
		}
		r.headers[http.CanonicalHeaderKey(name)] = header{h.flag("required"), schema}
	}
	for kind := range n.at("content").members {
		var err error
		if r.content[kind], err = newMedia(n.at("content", kind), kind); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func newMedia(n node, kind string) (m media, err error) {
	if m.schema, err = n.schema("schema"); err != nil {
		return m, err
	}
	if frames := n.at("x-frames"); frames.members != nil {
		m.frames = map[string]*jsonschema.Schema{}
		for event := range frames.members {
			if m.frames[event], err = frames.schema(event); err != nil {
				return m, err
			}
		}
	}
	if kind == problemType {
		m.codes = map[string]problem{}
		for code := range n.at("examples").members {
			e := n.at("examples", code)
			m.codes[code] = problem{example: e.at("value").members, optional: texts(e.members["x-optional"])}
		}
	}
	return m, nil
}

func texts(v any) (out []string) {
	list, _ := v.([]any)
	for _, item := range list {
		if s, ok := item.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// Unproven are the documented successes that were never seen, as "METHOD
// /path/{parameter} status", and the error codes that no operation answered.
func (c *Contract) Unproven() (successes, codes []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	provoked := map[string]bool{}
	for _, op := range c.operations {
		for _, status := range slices.Sorted(maps.Keys(op.responses)) {
			answer := op.id + " " + strconv.Itoa(status)
			if status < 300 && c.seen[answer] == 0 {
				successes = append(successes, answer)
			}
			for code := range op.responses[status].content[problemType].codes {
				provoked[code] = provoked[code] || c.seen[answer+" "+code] > 0
			}
		}
	}
	for _, code := range slices.Sorted(maps.Keys(provoked)) {
		if !provoked[code] {
			codes = append(codes, code)
		}
	}
	return successes, codes
}

// Unseen are the documented answers that were never seen: "operation status",
// and for problems "operation status code".
func (c *Contract) Unseen() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, op := range c.operations {
		for _, status := range slices.Sorted(maps.Keys(op.responses)) {
			answer := op.id + " " + strconv.Itoa(status)
			codes := op.responses[status].content[problemType].codes
			if len(codes) == 0 && c.seen[answer] == 0 {
				out = append(out, answer)
			}
			for _, code := range slices.Sorted(maps.Keys(codes)) {
				if c.seen[answer+" "+code] == 0 {
					out = append(out, answer+" "+code)
				}
			}
		}
	}
	return out
}

func (c *Contract) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[what]++
}
