package resolve

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/html"
)

// Bounds of following a page that refreshes.
const (
	MaxHTML         = 64 << 10         // bytes of a page that are searched for a meta refresh
	MaxRefreshDelay = 30 * time.Second // a longer one is a page that reloads, not one that leads on
)

// refresh is what a Refresh header or a meta element's content asks for.
type refresh struct {
	delay  time.Duration
	target string // relative or absolute URL; empty: the page itself
}

// leadsOn reports whether the refresh is a redirect.
func (r refresh) leadsOn() bool { return r.delay <= MaxRefreshDelay }

// parseRefresh reads "0;url=…" in all the spellings that browsers accept
// (WHATWG HTML §4.2.5.3, shared declarative refresh steps, up to parsing the
// URL), or answers false where they ignore it.
func parseRefresh(s string) (refresh, bool) {
	s = trimSpace(s)
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	if digits == 0 && !strings.HasPrefix(s, ".") {
		return refresh{}, false
	}
	r := refresh{delay: seconds(s[:digits])}
	s = strings.TrimLeft(s, "0123456789.")
	if s == "" {
		return r, true
	}
	rest := trimSpace(s)
	if rest == s && s[0] != ';' && s[0] != ',' {
		return refresh{}, false
	}
	if rest != "" && (rest[0] == ';' || rest[0] == ',') {
		rest = trimSpace(rest[1:])
	}
	r.target = refreshTarget(rest)
	return r, true
}

// refreshTarget takes the URL out of "url='…'", "'…'" or "…".
func refreshTarget(s string) string {
	if len(s) >= 3 && strings.EqualFold(s[:3], "url") {
		after, isAssignment := strings.CutPrefix(trimSpace(s[3:]), "=")
		if !isAssignment {
			return s // a relative URL that begins with "url"
		}
		s = trimSpace(after)
	}
	if s != "" && (s[0] == '"' || s[0] == '\'') {
		s, _, _ = strings.Cut(s[1:], s[:1])
	}
	return s
}

// seconds reads digits, already checked; what is too long to matter is a year.
func seconds(digits string) time.Duration {
	n := 0
	for i := range len(digits) {
		n = min(n*10+int(digits[i]-'0'), 365*24*3600)
	}
	return time.Duration(n) * time.Second
}

// trimSpace drops leading ASCII white space, as the standard defines it.
func trimSpace(s string) string { return strings.TrimLeft(s, " \t\n\f\r") }

// isPlainHTML reports whether a body can be searched. None was asked to be
// compressed; one that is all the same is left alone rather than unpacked.
func isPlainHTML(h http.Header) bool {
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return false
	}
	coding := h.Get("Content-Encoding")
	return media == "text/html" && (coding == "" || strings.EqualFold(coding, "identity"))
}

// findMeta searches the beginning of a page for the meta element that decides
// whether the page refreshes, and for the base URL set before it ("" if none).
// An error is one of reading; a page that ends, or is cut at MaxHTML, is not one.
//
// The tokenizer hands what <noscript>, <script>, <style>, <title>, <textarea>
// and <iframe> hold as text, as it is in a browser that runs scripts. Only
// <template> needs care here.
func findMeta(page io.Reader) (r refresh, base string, found bool, err error) {
	z := html.NewTokenizer(io.LimitReader(page, MaxHTML))
	templates := 0
	for {
		switch z.Next() {
		case html.ErrorToken:
			if err := z.Err(); !errors.Is(err, io.EOF) {
				return refresh{}, "", false, err
			}
			return refresh{}, "", false, nil
		case html.EndTagToken:
			if name, _ := z.TagName(); string(name) == "template" {
				templates = max(templates-1, 0)
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, _ := z.TagName()
			switch {
			case string(name) == "template":
				templates++
			case templates > 0:
			case string(name) == "base" && base == "":
				base = attributes(z)["href"]
			case string(name) == "meta":
				if r, found = metaRefresh(attributes(z)); found {
					return r, base, true, nil
				}
			}
		}
	}
}

func metaRefresh(attr map[string]string) (refresh, bool) {
	if strings.ToLower(attr["http-equiv"]) != "refresh" { // not EqualFold: it takes ſ for s
		return refresh{}, false
	}
	return parseRefresh(attr["content"])
}

// attributes of the current tag that matter here; of duplicates the first
// counts, as in browsers.
func attributes(z *html.Tokenizer) map[string]string {
	found := map[string]string{}
	for more := true; more; {
		var key, value []byte
		key, value, more = z.TagAttr()
		switch name := string(key); name {
		case "http-equiv", "content", "href":
			if _, duplicate := found[name]; !duplicate {
				found[name] = string(value)
			}
		}
	}
	return found
}
