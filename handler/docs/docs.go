package docs

import (
	"crypto/sha256"
	_ "embed" // for the files
	"encoding/base64"
	"sync"

	"linkrelay/relay"
)

//go:embed openapi.json
var openAPI []byte

//go:embed style.css
var style string

// OpenAPI returns the description of the public listener as OpenAPI 3.1 has it,
// in JSON. Nobody may change the bytes; that goes for everything here.
func OpenAPI() []byte { return openAPI }

// Page returns the page of /docs: HTML that loads nothing.
func Page() []byte { return page() }

// Problem returns the page of /problems/{code}, false when there is no such code.
func Problem(code relay.Code) (html []byte, ok bool) {
	p, ok := problems()[code]
	return p.html, ok
}

// ProblemJSON returns the same for programs, as JSON.
func ProblemJSON(code relay.Code) (document []byte, ok bool) {
	p, ok := problems()[code]
	return p.json, ok
}

// Vectors returns a file of published vectors, named without its .json.
func Vectors(name string) (document []byte, ok bool) {
	f, ok := vectorFiles().get(name)
	return f.text, ok
}

// ContentSecurityPolicy returns the header's value for the pages: no script, no
// request to anywhere, and of styles only their own.
func ContentSecurityPolicy() string { return policy() }

var policy = sync.OnceValue(func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; img-src data:; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
})
