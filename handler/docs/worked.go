package docs

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"linkrelay/signature"
)

// worked is a vector taken apart.
type worked struct {
	Name, Why, Secret string
	Size              int
	Parts             []part
	Check, Digest     string // a command, and what it prints
	Wire              string
}

// part is one piece of a base string.
type part struct {
	Name, From string
	Separator  bool
	Class      string
	text       string
	at         int
}

// Shown is the part with its line breaks made visible.
func (p part) Shown() string { return strings.ReplaceAll(p.text, "\n", "⏎\n") }

// Range is the part's bytes, counted from 0, both ends included.
func (p part) Range() string {
	switch len(p.text) {
	case 0:
		return "none"
	case 1:
		return strconv.Itoa(p.at)
	}
	return strconv.Itoa(p.at) + "–" + strconv.Itoa(p.at+len(p.text)-1)
}

func (p *shownPage) workExamples() {
	posts := func(version string) func(*vector) bool {
		return func(v *vector) bool { return v.Version == version && v.Method == http.MethodPost }
	}
	creates := func(v *vector) bool { return strings.Contains(v.Target, "trackingUrl=") }
	p.WorkedV1 = work(first("link-peeler", posts("v1")), linkPeelerV1)
	p.WorkedV2 = work(first("link-peeler", posts("v2")), linkPeelerV2)
	p.WorkedIklim = work(first("iklim", posts("")), iklim)
	p.WorkedRead = work(first("signed-query", func(v *vector) bool { return !creates(v) }), queryParts(signature.ParamKey, signature.ParamExpires))
	p.WorkedCreate = work(first("signed-query", creates), queryParts(signature.ParamKey, signature.ParamExpires, "idempotencyKey", "trackingUrl", "source", "rowId"))
}

func linkPeelerV1(v *vector) []part {
	return joined(".", header(v, "timestamp", signature.HeaderTimestamp), header(v, "nonce", signature.HeaderNonce), body(v))
}

func linkPeelerV2(v *vector) []part {
	return joined(".", header(v, "timestamp", signature.HeaderTimestamp), header(v, "nonce", signature.HeaderNonce), method(v), target(v), body(v))
}

func iklim(v *vector) []part {
	return joined("|", method(v), target(v), header(v, "timestamp", signature.HeaderIklimTimestamp), body(v))
}

func queryParts(names ...string) func(*vector) []part {
	return func(v *vector) []part {
		_, query, _ := strings.Cut(v.Target, "?")
		values, _ := url.ParseQuery(query) // of a valid vector
		var parts []part
		for _, name := range names {
			parts = append(parts, part{Name: name, From: "the parameter, decoded", text: values.Get(name)})
		}
		return joined("\n", parts...)
	}
}

func header(v *vector, name, from string) part {
	return part{Name: name, From: from, text: v.Headers.Get(from)}
}
func method(v *vector) part { return part{Name: "method", From: "the request line", text: v.Method} }
func target(v *vector) part {
	return part{Name: "path and query", From: "the request line, as sent", text: v.Target}
}
func body(v *vector) part { return part{Name: "body", From: "every byte that is sent", text: v.Body} }

// joined puts the separator between the parts and gives each its place.
func joined(separator string, parts ...part) []part {
	name := separator
	if separator == "\n" {
		name = "line feed"
	}
	var out []part
	at := 0
	add := func(p part) {
		p.at = at
		at += len(p.text)
		out = append(out, p)
	}
	for i, p := range parts {
		if i > 0 {
			add(part{Name: name, Separator: true, Class: "sep", text: separator})
		}
		p.Class = "part part" + strconv.Itoa(i%6+1)
		add(p)
	}
	return out
}

// work takes a vector apart. That the parts are the vector's base string it
// makes sure of, or panics: the page must not teach anything else.
func work(v *vector, take func(*vector) []part) *worked {
	if v == nil {
		panic("docs: a scheme has no vector to show")
	}
	w := &worked{Name: v.Name, Why: v.Why, Secret: v.Secret, Size: len(v.Base), Parts: take(v), Wire: wire(v)}
	base := ""
	for _, p := range w.Parts {
		base += p.text
	}
	if base != v.Base {
		panic(fmt.Errorf("docs: vector %s: its parts make %q, not its base string %q", v.Name, base, v.Base))
	}
	w.Digest = strings.TrimPrefix(v.Signature, "v2=")
	end := `-r | cut -d ' ' -f 1`
	if _, err := hex.DecodeString(w.Digest); err != nil {
		end = `-binary | openssl base64 -A`
	}
	w.Check = "printf '%s' " + quoted(v.Base) + " |\n  openssl dgst -sha256 -hmac " + v.Secret + " " + end
	return w
}

// quoted is a text for a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// wire is the request as it is sent.
func wire(v *vector) string {
	out := v.Method + " " + v.Target + " HTTP/1.1\nHost: relay.example\n"
	var names []string
	for name := range v.Headers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		out += name + ": " + v.Headers.Get(name) + "\n"
	}
	if v.Body != "" && v.Headers.Get("Content-Type") == "" {
		out += "Content-Type: application/json\n"
	}
	return strings.TrimSpace(out + "\n" + v.Body)
}
