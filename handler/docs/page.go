package docs

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"sync"
	"time"

	"linkrelay/relay"
	"linkrelay/signature"
)

//go:embed templates
var templateFiles embed.FS

// here writes for the page, elsewhere for the pages of single codes.
var here, elsewhere = writer{""}, writer{"/docs"}

// shownPage is what the templates of the page show.
type shownPage struct {
	Summary         string
	About           template.HTML
	Contents        []heading
	MakeKey, Doctor string
	Snippets        []snippet
	LinkPeeler      []member
	Iklim           []member
	SignedQuery     []member

	WorkedV1, WorkedV2, WorkedIklim, WorkedRead, WorkedCreate *worked

	Templates    []shownTemplate
	Skew, Ahead  int
	Retention    int // hours
	Offer, Lease int // seconds
	Mistakes     []signature.Mistake
	VectorFiles  []vectorFile
	Groups       []group
	Schemas      []shownSchema
	Errors       []explanation
}

// heading is one line of the table of contents.
type heading struct {
	Anchor, Title string
	Below         []heading
}

var page = sync.OnceValue(func() []byte {
	s := theSpec()
	p := &shownPage{
		Summary: s.Info.Summary, About: here.text(s.Info.Description),
		MakeKey: program("key"), Doctor: program("doctor"), Snippets: snippets(),
		LinkPeeler: here.proof(s, "linkPeeler"), Iklim: here.proof(s, "iklim"), SignedQuery: here.proof(s, "signedQuery"),
		Templates: builderTemplates(),
		Skew:      int(usualSkew / time.Second), Ahead: int(signature.MaxQueryAhead / time.Second), Retention: int(relay.Retention / time.Hour),
		Offer: usualOffer, Lease: usualLease,
		Mistakes: signature.Mistakes, Groups: here.groups(s), Schemas: here.schemas(s), Errors: here.explanations(s),
	}
	for _, f := range vectorFiles() {
		p.VectorFiles = append(p.VectorFiles, f.Value.vectorFile)
	}
	p.workExamples()
	p.Contents = p.contents()
	return render(here, "page.html", p)
})

// What a relay does unless its operator wants something else. A test holds them
// against the settings' defaults.
const (
	usualSkew              = 5 * time.Minute
	usualOffer, usualLease = 10, 60 // seconds
)

func (p *shownPage) contents() []heading {
	vectors := heading{Anchor: "vectors", Title: "Test vectors"}
	for _, f := range p.VectorFiles {
		vectors.Below = append(vectors.Below, heading{Anchor: "vectors-" + f.Name, Title: f.Name})
	}
	reference := heading{Anchor: "reference", Title: "API reference"}
	for _, g := range p.Groups {
		below := heading{Anchor: "calls-" + g.Name, Title: g.Name}
		for _, op := range g.Operations {
			below.Below = append(below.Below, heading{Anchor: "call-" + op.ID, Title: op.Summary})
		}
		reference.Below = append(reference.Below, below)
	}
	reference.Below = append(reference.Below, heading{Anchor: "schemas", Title: "Schemas"})
	return []heading{
		{Anchor: "start", Title: "Quick start"},
		{"signing", "Signing", []heading{{Anchor: "link-peeler", Title: "link-peeler"}, {Anchor: "iklim", Title: "iklim"},
			{Anchor: "signed-query", Title: "signed-query"}, {Anchor: "builder", Title: "Signed authentication builder"}}},
		{"practice", "Being sure", []heading{{Anchor: "freshness", Title: "Freshness and replay"}, {Anchor: "retries", Title: "Idempotency and retries"},
			{Anchor: "diagnosis", Title: "When the signature does not match"}, {Anchor: "rotation", Title: "Changing a secret"}}},
		vectors,
		{Anchor: "desktops", Title: "Writing a desktop"},
		reference,
		{Anchor: "errors", Title: "Errors"},
	}
}

// render panics when a template fails: it is a file of ours, and a test renders all.
func render(w writer, name string, data any) []byte {
	t := template.Must(template.New("").Funcs(template.FuncMap{
		"style": func() template.HTML { return template.HTML("<style>" + style + "</style>") },   //nolint:gosec // a file of ours
		"code":  func(word any) template.HTML { return template.HTML(w.code(fmt.Sprint(word))) }, //nolint:gosec // escaped there
	}).ParseFS(templateFiles, "templates/*.html"))
	var out bytes.Buffer
	if err := t.ExecuteTemplate(&out, name, data); err != nil {
		panic(fmt.Errorf("docs: %w", err))
	}
	return out.Bytes()
}
