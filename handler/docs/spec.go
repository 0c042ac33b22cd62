package docs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
)

// spec is what the page shows of the OpenAPI document, in the document's order.
type spec struct {
	Info struct{ Title, Summary, Description string }
	Tags []struct{ Name, Description string }
	// Paths are their methods, by path.
	Paths      ordered[ordered[operation]]
	Components struct {
		SecuritySchemes map[string]struct{ Name, In, Description string }
		Parameters      map[string]parameter
		Schemas         ordered[schema]
		Responses       map[string]response
		Examples        map[string]example
	}
}

type operation struct {
	OperationID, Summary, Description string
	Tags                              []string
	Security                          []ordered[[]string]
	Parameters                        []parameter
	RequestBody                       *struct {
		Required    bool
		Description string
		Content     ordered[media]
	}
	Responses ordered[response]
}

type parameter struct {
	Ref         string `json:"$ref"`
	Name, In    string
	Required    bool
	Description string
	Schema      schema
}

type response struct {
	Ref         string `json:"$ref"`
	Description string
	Headers     ordered[struct{}]
	Content     ordered[media]
}

type media struct {
	Schema   schema
	Example  json.RawMessage
	Examples ordered[example]
	Frames   ordered[schema] `json:"x-frames"`
}

// example is one of the media type's, or what a problem with a code looks like.
type example struct {
	Ref                  string `json:"$ref"`
	Summary, Description string
	Optional             []string `json:"x-optional"`
	Value                json.RawMessage
}

type schema struct {
	Ref                  string `json:"$ref"`
	Type, Format         string
	Description, Pattern string
	Properties           ordered[schema]
	Required             []string
	Enum                 []string
	Items                *schema
	AnyOf                []schema
	Default              json.RawMessage
	Minimum, Maximum     *int64
	MinLength, MaxLength *int64
	MinItems, MaxItems   *int64
}

// ordered is a JSON object that keeps its order.
type ordered[T any] []entry[T]

type entry[T any] struct {
	Name  string
	Value T
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *ordered[T]) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		e := entry[T]{Name: fmt.Sprint(name)}
		if err := d.Decode(&e.Value); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
		*o = append(*o, e)
	}
	return nil
}

// get returns the value of a name, the zero value when there is none.
func (o ordered[T]) get(name string) (v T, ok bool) {
	for _, e := range o {
		if e.Name == name {
			return e.Value, true
		}
	}
	return v, false
}

var theSpec = sync.OnceValue(func() *spec {
	s := &spec{}
	if err := json.Unmarshal(openAPI, s); err != nil {
		panic(fmt.Errorf("docs: openapi.json: %w", err)) // a file of ours, which tests read
	}
	return s
})

// refName is the name that a reference ends with.
func refName(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

func (s *spec) parameter(p parameter) parameter {
	if p.Ref != "" {
		return s.Components.Parameters[refName(p.Ref)]
	}
	return p
}

func (s *spec) response(r response) response {
	if r.Ref != "" {
		return s.Components.Responses[refName(r.Ref)]
	}
	return r
}

// member follows a reference to a member of another schema; one to a schema as
// a whole is left, to become a link.
func (s *spec) member(m schema) schema {
	parts := strings.Split(m.Ref, "/")
	if len(parts) < 6 { // #/components/schemas/Name/properties/name
		return m
	}
	of, _ := s.Components.Schemas.get(parts[3])
	target, _ := of.Properties.get(parts[5])
	return s.member(target)
}
