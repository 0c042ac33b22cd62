// Package contracttest holds what passes over HTTP against the published
// OpenAPI document: every request that was granted and every answer. Tests
// record real exchanges with a Recorder; what the document does not say, or
// says otherwise, is a fault.
package contracttest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const documentURL = "contract:///openapi.json"

// document navigates an OpenAPI document by JSON pointers and compiles the
// schemas it finds there.
type document struct {
	root     map[string]any
	compiler *jsonschema.Compiler
}

func read(text []byte) (*document, error) {
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("contracttest: %w", err)
	}
	d := &document{compiler: jsonschema.NewCompiler()}
	d.root, _ = root.(map[string]any)
	d.compiler.DefaultDraft(jsonschema.Draft2020) // what OpenAPI 3.1 builds on
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(documentURL, root); err != nil {
		return nil, fmt.Errorf("contracttest: %w", err)
	}
	return d, nil
}

// node is an object of the document and its own place there.
type node struct {
	d       *document
	pointer string
	members map[string]any
}

var escapes = strings.NewReplacer("~", "~0", "/", "~1")

// at follows names from a node, and references wherever it meets one. The
// result's members are nil where there is nothing.
func (n node) at(names ...string) node {
	for _, name := range names {
		next, _ := n.members[name].(map[string]any)
		n = node{n.d, n.pointer + "/" + escapes.Replace(name), next}.resolved()
	}
	return n
}

func (n node) resolved() node {
	for {
		ref, ok := n.members["$ref"].(string)
		if !ok {
			return n
		}
		target := node{n.d, "", n.d.root}
		for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
			next, _ := target.members[name].(map[string]any)
			target = node{n.d, target.pointer + "/" + escapes.Replace(name), next}
		}
		n = target
	}
}

// items are the objects of an array, references followed.
func (n node) items(name string) []node {
	list, _ := n.members[name].([]any)
	out := make([]node, 0, len(list))
	for i, v := range list {
		members, _ := v.(map[string]any)
		out = append(out, node{n.d, n.pointer + "/" + escapes.Replace(name) + "/" + strconv.Itoa(i), members}.resolved())
	}
	return out
}

func (n node) text(name string) string { s, _ := n.members[name].(string); return s }
func (n node) flag(name string) bool   { b, _ := n.members[name].(bool); return b }

// schema compiles the schema that the node has under the name, nil for none.
func (n node) schema(name string) (*jsonschema.Schema, error) {
	if _, ok := n.members[name]; !ok {
		return nil, nil
	}
	s, err := n.d.compiler.Compile(documentURL + "#" + n.pointer + "/" + escapes.Replace(name))
	if err != nil {
		return nil, fmt.Errorf("contracttest: %w", err)
	}
	return s, nil
}
