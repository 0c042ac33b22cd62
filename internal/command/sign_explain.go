package command

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"linkrelay/signature"
)

// part is one piece of a base string.
type part struct{ name, value string }

// baseParts names the pieces of a base string, and what stands between them.
func baseParts(p signature.Proof, m message, j signature.QueryJob) (parts []part, separator string) {
	method, target, body := part{"method", m.method}, part{"path?query", m.target}, part{"body", string(m.body)}
	timestamp, nonce := part{"timestamp", p.RawTimestamp}, part{"nonce", p.Nonce}
	switch {
	case p.Scheme == signature.SchemeIklim:
		return []part{method, target, timestamp, body}, "|"
	case p.Scheme == signature.SchemeSignedQuery && p.Creates:
		return []part{{"AccessID", p.KeyID}, {"Expires", p.RawTimestamp}, {"idempotencyKey", j.IdempotencyKey},
			{"trackingUrl", j.TrackingURL}, {"source", j.Source}, {"rowId", j.RowID}}, "\n"
	case p.Scheme == signature.SchemeSignedQuery:
		return []part{{"AccessID", p.KeyID}, {"Expires", p.RawTimestamp}}, "\n"
	case p.V1:
		return []part{timestamp, nonce, body}, "."
	default:
		return []part{timestamp, nonce, method, target, body}, "."
	}
}

// explainBase says what was signed, byte by byte where it matters.
func explainBase(w io.Writer, m signedMessage) {
	base := m.proof.Base(m.method, m.target, m.body)
	shown := visible(base)
	fmt.Fprintf(w, "Under %s these %d bytes are signed:\n\n%s\n\n", schemeName(m.proof), len(base), indented(shown))
	parts, separator := baseParts(m.proof, m.message, m.job)
	t := newTable(w)
	t.row("PART", "BYTES", "VALUE")
	for _, p := range parts {
		t.row(p.name, len(p.value), beginning(strings.ReplaceAll(visible([]byte(p.value)), "\n", "")))
	}
	_ = t.flush() // to stderr
	encoding := "hex"
	if m.proof.Scheme == signature.SchemeSignedQuery {
		encoding = "base64"
	}
	fmt.Fprintf(w, "\nOne %s stands between two parts, and nothing before or behind them. The signature is the HMAC-SHA256 of these\n"+
		"bytes, in %s; its key is the secret's own text, lps_ included.\n%s\n", separatorNames[separator], encoding, legend(shown))
}

var separatorNames = map[string]string{".": "dot", "|": "|", "\n": "line feed (byte 0A)"}

// legend explains the signs of a visible text that has some.
func legend(shown string) string {
	if !strings.ContainsAny(shown, "␊␍␉␀␠⟨") {
		return ""
	}
	return "\n␊ ␍ ␉ ␀ are a line feed, a carriage return, a tab and a zero byte, ␠ is a space at the end of a line, and ⟨…⟩\n" +
		"shows in hex the bytes of what is not ASCII or cannot be seen.\n"
}

func schemeName(p signature.Proof) string {
	switch {
	case p.Scheme != signature.SchemeLinkPeeler:
		return string(p.Scheme)
	case p.V1:
		return "link-peeler v1"
	}
	return "link-peeler v2"
}

const shownOfPart = 80 // characters; the whole stands above

func beginning(s string) string {
	if r := []rune(s); len(r) > shownOfPart {
		return string(r[:shownOfPart]) + "…"
	}
	return s
}

func indented(s string) string { return "  " + strings.ReplaceAll(s, "\n", "\n  ") }

// visible writes bytes so that no two texts look alike. A line feed is shown,
// and breaks the line as well.
func visible(text []byte) string {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		char := text[:size]
		text = text[size:]
		switch {
		case r == '\n' && len(text) > 0:
			b.WriteString("␊\n")
		case r == ' ' && endsLine(bytes.TrimLeft(text, " ")):
			b.WriteRune('␠')
		case r < ' ':
			b.WriteRune('␀' + r) // Unicode's control pictures are in ASCII's order
		case r < utf8.RuneSelf-1:
			b.WriteRune(r)
		case unicode.IsLetter(r) || unicode.IsSymbol(r):
			fmt.Fprintf(&b, "%c⟨% X⟩", r, char)
		default:
			fmt.Fprintf(&b, "⟨% X⟩", char)
		}
	}
	return b.String()
}

func endsLine(text []byte) bool { return len(text) == 0 || text[0] == '\n' || text[0] == '\r' }
