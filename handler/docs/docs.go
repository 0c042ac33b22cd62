package docs

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"sync"

	"linkrelay/relay"
)

//go:embed openapi.json
var openAPI []byte

//go:embed style.css
var style string

//go:embed templates
var templateFiles embed.FS

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

// Vectors returns the published vectors of a file, named without its .json.
func Vectors(string) (document []byte, ok bool) { return nil, false }

// ContentSecurityPolicy returns the header's value for the pages: no script, no
// request to anywhere, and of styles only their own.
func ContentSecurityPolicy() string { return policy() }

var policy = sync.OnceValue(func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; img-src data:; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
})

var templates = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{
		"style": func() template.HTML { return template.HTML("<style>" + style + "</style>") }, //nolint:gosec // a file of ours
	}).ParseFS(templateFiles, "templates/*.html"))
})

var page = sync.OnceValue(func() []byte { return render("page.html", relay.Catalogue) })

type problem struct{ html, json []byte }

var problems = sync.OnceValue(func() map[relay.Code]problem {
	all := make(map[relay.Code]problem, len(relay.Catalogue))
	for _, e := range relay.Catalogue {
		document, err := json.Marshal(struct {
			Code      relay.Code `json:"code"`
			Status    int        `json:"status"`
			Title     string     `json:"title"`
			Remedy    string     `json:"remedy"`
			Retryable bool       `json:"retryable"`
		}{e.Code, e.Status, e.Title, e.Remedy, e.Retryable})
		if err != nil {
			panic(err)
		}
		all[e.Code] = problem{render("problem.html", e), document}
	}
	return all
})

// render panics when a template fails: it is a file of ours, and a test renders all.
func render(name string, data any) []byte {
	var out bytes.Buffer
	if err := templates().ExecuteTemplate(&out, name, data); err != nil {
		panic(fmt.Errorf("docs: %w", err))
	}
	return out.Bytes()
}
