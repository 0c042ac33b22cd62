package docs

import (
	"html/template"
	"strings"

	"linkrelay/relay"
)

// writer turns the document's texts into HTML. home is where the page's anchors
// are: "" on the page itself, "/docs" elsewhere.
type writer struct{ home string }

// text renders the little of CommonMark that the document's descriptions use:
// paragraphs, code blocks and code. What is not code is plain text.
func (w writer) text(markdown string) template.HTML {
	var out strings.Builder
	for block := range strings.SplitSeq(markdown, "\n\n") {
		if code, ok := strings.CutPrefix(block, "```\n"); ok {
			out.WriteString(`<pre tabindex="0"><code>` + template.HTMLEscapeString(strings.TrimSuffix(code, "\n```")) + "</code></pre>")
			continue
		}
		out.WriteString("<p>" + string(w.inline(block)) + "</p>")
	}
	return template.HTML(out.String()) //nolint:gosec // every part is escaped
}

// inline is text for a part of a line.
func (w writer) inline(markdown string) template.HTML {
	var out strings.Builder
	for i, part := range strings.Split(markdown, "`") {
		if i%2 == 0 {
			out.WriteString(template.HTMLEscapeString(part))
		} else {
			out.WriteString(w.code(part))
		}
	}
	return template.HTML(out.String()) //nolint:gosec // every part is escaped
}

// code renders a word of code; the name of something that has its own place on
// the page leads there.
func (w writer) code(word string) string {
	html := "<code>" + template.HTMLEscapeString(word) + "</code>"
	anchor := anchorOf(word)
	if anchor == "" {
		return html
	}
	return `<a href="` + w.home + "#" + anchor + `">` + html + "</a>"
}

// anchorOf returns the anchor of an error code or a schema, "" for any other word.
func anchorOf(word string) string {
	for _, e := range relay.Catalogue {
		if string(e.Code) == word {
			return "error-" + word
		}
	}
	if _, ok := theSpec().Components.Schemas.get(word); ok {
		return "schema-" + word
	}
	return ""
}
