package docs

import (
	"embed"
	"fmt"
	"strings"
	"time"

	"linkrelay/signature/builder"
)

// snippet is a program that the page shows. Tests run each.
type snippet struct{ ID, Title, Text string }

//go:embed snippets
var snippetFiles embed.FS

func snippets() []snippet {
	var out []snippet
	for _, s := range [][2]string{{"sh", "Shell, with curl and openssl"}, {"node", "Node.js"}, {"python", "Python"}, {"php", "PHP"}, {"go", "Go"}} {
		out = append(out, snippet{s[0], s[1], program(s[0])})
	}
	return out
}

func program(id string) string {
	text, err := snippetFiles.ReadFile("snippets/" + id + ".txt")
	if err != nil {
		panic(fmt.Errorf("docs: %w", err)) // it is in the binary
	}
	return strings.TrimSpace(string(text))
}

// proof are the headers or parameters of a scheme, in the words of the document.
func (w writer) proof(s *spec, scheme string) []member {
	var out []member
	for _, alternative := range s.Paths[0].Value[0].Value.Security { // of fetch, which takes every scheme
		for _, e := range alternative {
			if c := s.Components.SecuritySchemes[e.Name]; strings.HasPrefix(e.Name, scheme) {
				_, text, _ := strings.Cut(c.Description, ". ")
				out = append(out, member{Name: c.Name, Text: w.text(text)})
			}
		}
	}
	return out
}

// shownTemplate is one of the builder's templates and what it renders to.
type shownTemplate struct{ Title, Template, At, Rendered string }

func builderTemplates() []shownTemplate {
	v := first("link-peeler", func(*vector) bool { return true })
	key, at := v.Headers.Get("X-Link-Peeler-Key"), time.Unix(1735689600, 0).UTC()
	mac := `.encodeHmacSha256("` + v.Secret + `").encodeBase64().encodeURL().printDigest();}`
	proof := "AccessID=" + key + `&Expires={hash.getExpiryTime(300);}&Signature={hash.append("` + key + `").appendNewLine().append(hash.getExpiryTime(300))`
	out := []shownTemplate{
		{Title: "Reading the quota", Template: "/api/links/quota?" + proof + mac},
		{Title: "Creating a job", Template: "/api/links/fetch?idempotencyKey=order-1042&trackingUrl=https%3A%2F%2Fclick.example%2Fc%3Fid%3D7&source=newsletter&rowId=row-17&" + proof +
			`.appendNewLine().append("order-1042").appendNewLine().append("https://click.example/c?id=7").appendNewLine().append("newsletter").appendNewLine().append("row-17")` + mac},
	}
	for i := range out {
		out[i].At = at.Format(time.RFC3339)
		out[i].Rendered = rendered(out[i].Template, at)
	}
	return out
}

func rendered(text string, at time.Time) string {
	t, err := builder.Parse(text)
	if err != nil {
		panic(fmt.Errorf("docs: %w", err)) // a text of ours, which tests render
	}
	out, err := t.Render(at)
	if err != nil {
		panic(fmt.Errorf("docs: %w", err))
	}
	return out
}
