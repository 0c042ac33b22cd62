package docs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"
)

// group is the operations of one tag.
type group struct {
	Name       string
	Text       template.HTML
	Operations []shownOperation
}

type shownOperation struct {
	ID, Method, Path, Summary string
	Text                      template.HTML
	Schemes                   []string // that the call may be signed with; none: it is not signed
	Parameters                []member
	Body                      *shownBody
	Responses                 []shownResponse
}

type shownBody struct {
	Text     template.HTML
	Schemas  []string
	Examples []shownExample
}

type shownResponse struct {
	Status   string
	Text     template.HTML
	Kind     string // the media type, "" for no body
	Schemas  []string
	Headers  []string // besides those of every answer
	Codes    []string
	Frames   []member
	Examples []shownExample
}

type shownExample struct{ Title, Text string }

// member is one name of an object, a parameter or a frame.
type member struct {
	Name     string
	Required bool
	Where    string // of a parameter
	Type     template.HTML
	Text     template.HTML
}

type shownSchema struct {
	Name    string
	Text    template.HTML
	Type    template.HTML // of what is no object
	Members []member
}

// everyAnswer are the headers that all answers of the API have, and requests may
// have; they are explained once.
var everyAnswer = []string{"X-Request-Id", "Cache-Control", "X-Content-Type-Options"}

func (w writer) groups(s *spec) []group {
	var out []group
	for _, tag := range s.Tags {
		g := group{Name: tag.Name, Text: w.inline(tag.Description)}
		for _, path := range s.Paths {
			for _, method := range path.Value {
				if op := method.Value; slices.Contains(op.Tags, tag.Name) {
					g.Operations = append(g.Operations, w.operation(s, strings.ToUpper(method.Name), path.Name, op))
				}
			}
		}
		out = append(out, g)
	}
	return out
}

func (w writer) operation(s *spec, method, path string, op operation) shownOperation {
	shown := shownOperation{ID: op.OperationID, Method: method, Path: path, Summary: op.Summary, Text: w.text(op.Description)}
	for _, alternative := range op.Security {
		scheme, _, _ := strings.Cut(s.Components.SecuritySchemes[alternative[0].Name].Description, ".")
		scheme, _, _ = strings.Cut(strings.TrimPrefix(scheme, "Scheme "), ",")
		shown.Schemes = append(shown.Schemes, scheme)
	}
	for _, p := range op.Parameters {
		p = s.parameter(p)
		if slices.Contains(everyAnswer, p.Name) {
			continue
		}
		shown.Parameters = append(shown.Parameters, member{p.Name, p.Required, p.In, w.typeOf(s, p.Schema), w.inline(p.Description)})
	}
	if b := op.RequestBody; b != nil {
		content := b.Content[0].Value
		shown.Body = &shownBody{w.inline(b.Description), schemaNames(content.Schema), examples(content)}
	}
	for _, r := range op.Responses {
		shown.Responses = append(shown.Responses, w.response(s, r.Name, s.response(r.Value)))
	}
	return shown
}

func (w writer) response(s *spec, status string, r response) shownResponse {
	shown := shownResponse{Status: status, Text: w.inline(r.Description)}
	for _, h := range r.Headers {
		if !slices.Contains(everyAnswer, h.Name) {
			shown.Headers = append(shown.Headers, h.Name)
		}
	}
	for _, content := range r.Content {
		m := content.Value
		if shown.Kind != "" {
			shown.Kind += ", "
		}
		shown.Kind += content.Name
		shown.Schemas = append(shown.Schemas, schemaNames(m.Schema)...)
		if content.Name == problemType {
			for _, e := range m.Examples {
				shown.Codes = append(shown.Codes, e.Name)
			}
			continue
		}
		shown.Examples = append(shown.Examples, examples(m)...)
		for _, f := range m.Frames {
			shown.Frames = append(shown.Frames, member{Name: f.Name, Type: w.typeOf(s, f.Value)})
		}
	}
	return shown
}

const problemType = "application/problem+json"

func schemaNames(m schema) []string {
	var names []string
	for _, alternative := range append([]schema{m}, m.AnyOf...) {
		if alternative.Ref != "" {
			names = append(names, refName(alternative.Ref))
		}
	}
	return names
}

func examples(m media) []shownExample {
	var out []shownExample
	if m.Example != nil {
		out = append(out, shownExample{"", readable(m.Example)})
	}
	for _, e := range m.Examples {
		out = append(out, shownExample{e.Value.Summary, readable(e.Value.Value)})
	}
	return out
}

// readable indents JSON; a text is shown as it is.
func readable(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return strings.TrimSpace(text)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, value, "", "  "); err != nil {
		panic(fmt.Errorf("docs: example: %w", err)) // it was decoded before
	}
	return out.String()
}

func (w writer) schemas(s *spec) []shownSchema {
	var out []shownSchema
	for _, e := range s.Components.Schemas {
		shown := shownSchema{Name: e.Name, Text: w.inline(e.Value.Description), Members: w.members(s, e.Value)}
		if len(shown.Members) == 0 {
			shown.Type = w.typeOf(s, e.Value)
		}
		out = append(out, shown)
	}
	return out
}

func (w writer) members(s *spec, of schema) []member {
	var out []member
	for _, e := range of.Properties {
		p := s.member(e.Value)
		out = append(out, member{e.Name, slices.Contains(of.Required, e.Name), "", w.typeOf(s, p), w.inline(p.Description)})
		inner := p
		if p.Items != nil {
			inner = *p.Items
		}
		for _, m := range w.members(s, inner) { // of an object that has no name of its own
			m.Name = e.Name + "." + m.Name
			out = append(out, m)
		}
	}
	return out
}

// typeOf says in words what a value may be.
func (w writer) typeOf(s *spec, m schema) template.HTML {
	m = s.member(m)
	var parts []string
	add := func(format string, args ...any) {
		parts = append(parts, template.HTMLEscapeString(fmt.Sprintf(format, args...)))
	}
	switch {
	case m.Ref != "":
		parts = append(parts, w.code(refName(m.Ref)))
	case len(m.Enum) > 0:
		values := make([]string, 0, len(m.Enum))
		for _, v := range m.Enum {
			values = append(values, "<code>"+template.HTMLEscapeString(v)+"</code>")
		}
		parts = append(parts, strings.Join(values, " | "))
	case m.Items != nil:
		parts = append(parts, "array of "+string(w.typeOf(s, *m.Items)))
	case m.Format == "date-time":
		add("time, RFC 3339")
	case m.Type == "":
		add("any JSON")
	default:
		add("%s", m.Type)
	}
	bounds := func(low, high *int64, unit string) {
		switch {
		case low != nil && high != nil:
			add("%s to %s%s", decimal(*low), decimal(*high), unit)
		case low != nil && *low > 1:
			add("at least %s%s", decimal(*low), unit)
		case high != nil:
			add("at most %s%s", decimal(*high), unit)
		}
	}
	bounds(m.Minimum, m.Maximum, "")
	bounds(m.MinLength, m.MaxLength, " characters")
	bounds(m.MinItems, m.MaxItems, " items")
	if m.Default != nil {
		parts = append(parts, "default <code>"+template.HTMLEscapeString(string(m.Default))+"</code>")
	}
	return template.HTML(strings.Join(parts, ", ")) //nolint:gosec // every part is escaped
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
