package docs

import (
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"sync"

	"linkrelay/relay"
)

// explanation is one error code as the pages show it.
type explanation struct {
	relay.Entry
	When, Remedy template.HTML
	Members      []extra
	Example      string
}

// extra is a member that problems with a code have besides the common ones.
type extra struct {
	Name     string `json:"name"`
	Optional bool   `json:"optional"`
}

// explanations joins the catalogue with what the document says of each code.
func (w writer) explanations(s *spec) []explanation {
	common, _ := s.Components.Schemas.get("Problem")
	out := make([]explanation, 0, len(relay.Catalogue))
	for _, entry := range relay.Catalogue {
		e := s.Components.Examples[string(entry.Code)]
		out = append(out, explanation{entry, w.inline(e.Description), w.inline(entry.Remedy), extras(e, common.Required), readable(e.Value)})
	}
	return out
}

func extras(e example, common []string) []extra {
	out := []extra{}
	var members ordered[json.RawMessage]
	if err := json.Unmarshal(e.Value, &members); err != nil {
		panic(fmt.Errorf("docs: example: %w", err)) // a file of ours, which tests read
	}
	for _, m := range members {
		if !slices.Contains(common, m.Name) {
			out = append(out, extra{m.Name, slices.Contains(e.Optional, m.Name)})
		}
	}
	return out
}

type problemPage struct{ html, json []byte }

var problems = sync.OnceValue(func() map[relay.Code]problemPage {
	s := theSpec()
	all := make(map[relay.Code]problemPage, len(relay.Catalogue))
	for _, e := range elsewhere.explanations(s) {
		document, err := json.Marshal(struct {
			Code      relay.Code      `json:"code"`
			Status    int             `json:"status"`
			Title     string          `json:"title"`
			When      string          `json:"when"`
			Remedy    string          `json:"remedy"`
			Retryable bool            `json:"retryable"`
			Members   []extra         `json:"members"`
			Example   json.RawMessage `json:"example"`
		}{e.Code, e.Status, e.Title, s.Components.Examples[string(e.Code)].Description, e.Entry.Remedy, e.Retryable, e.Members, json.RawMessage(e.Example)})
		if err != nil {
			panic(fmt.Errorf("docs: %s: %w", e.Code, err)) // plain texts, and JSON that was read before
		}
		all[e.Code] = problemPage{render(elsewhere, "problem.html", e), document}
	}
	return all
})
