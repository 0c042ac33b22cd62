package resolve

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"linkrelay/relay"
)

// Via is how a hop pointed to the next one.
type Via string

// The ways to redirect.
const (
	ViaHTTP    Via = "http"           // a 3xx status with Location
	ViaRefresh Via = "refresh-header" // a Refresh header
	ViaMeta    Via = "meta-refresh"   // an HTML meta element
)

// Hop is one request of a resolution.
type Hop struct {
	URL      string `json:"url"`
	Status   int    `json:"status"`             // 0: no answer came; only the last hop of a failure
	Location string `json:"location,omitempty"` // where it pointed, as sent; followed in every hop but the last
	Via      Via    `json:"via,omitempty"`      // set with Location
	Millis   int64  `json:"ms"`                 // from the request until it was known where this hop points
}

// Result is what a resolution found. Its JSON form never exceeds
// relay.MaxResult bytes. After a failure FinalURL is empty and Hops holds the
// requests made until then.
type Result struct {
	FinalURL    string `json:"finalUrl,omitempty"` // normalised as a browser's address bar would show it; never cut
	FinalStatus int    `json:"finalStatus,omitempty"`
	Hops        []Hop  `json:"hops"`                 // in order; the last is the final page
	Downgraded  bool   `json:"downgraded,omitempty"` // some hop went from https to http
	Truncated   bool   `json:"truncated,omitempty"`  // texts in Hops were cut (they end in "…") to keep within the size
}

// fit cuts the texts of hops, evenly and no more than needed, until the result
// may be sent. The final URL alone always fits: [MaxURL] bytes, each at most
// six in JSON.
func (r Result) fit() Result {
	for limit := MaxURL / 2; limit > 0 && r.size() > relay.MaxResult; limit /= 2 {
		r.Truncated = true
		for i := range r.Hops {
			r.Hops[i].URL = cut(r.Hops[i].URL, limit)
			r.Hops[i].Location = cut(r.Hops[i].Location, limit)
		}
	}
	return r
}

// size measures the longest usual spelling: encoding/json writes "&" in six bytes.
func (r Result) size() int {
	b, err := json.Marshal(r)
	if err != nil { // cannot be: the struct holds strings and numbers only
		panic(err)
	}
	return len(b)
}

// cut returns s as valid UTF-8, shortened to at most limit bytes and an ellipsis.
func cut(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}
