package resolve

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// MaxURL bounds, in bytes, every URL that is followed, before and after it was
// made absolute.
const MaxURL = 8 << 10

const maxHost = 254 // bytes of a host name with its final dot (RFC 1035 §2.3.4)

// Bytes that a browser escapes besides controls, spaces and what is not ASCII
// (WHATWG URL §1.3, the path and special-query percent-encode sets).
const (
	unsafeInPath  = "\"#<>\\^`{|}" // also of the fragment
	unsafeInQuery = `"'<>`
)

// locate makes the URL that raw means when found at base; base is nil for the
// link itself. Locations in the wild hold spaces, backslashes, raw UTF-8 and
// stray percent signs: they are read as browsers read them, so that a chain
// ends where a person's click would. The result is normal: ASCII only, lower-case
// scheme and host, never an empty path, no user-info, at most [MaxURL] bytes.
func locate(base *url.URL, raw string) (*url.URL, *Error) {
	if len(raw) > MaxURL {
		return nil, badLocation("the URL is longer than 8192 bytes")
	}
	u, err := url.Parse(tidy(raw))
	if err != nil { // its text would repeat the URL
		return nil, badLocation("the URL cannot be read")
	}
	u.RawPath = escape(u.RawPath, unsafeInPath)
	u.RawFragment = escape(u.RawFragment, unsafeInPath)
	u.RawQuery = escape(u.RawQuery, unsafeInQuery)
	if base != nil {
		u = base.ResolveReference(u)
	}
	switch {
	case u.Scheme == "":
		return nil, badLocation("the URL is not absolute")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, &Error{Kind: UnsupportedScheme, reason: "leads to a " + cut(u.Scheme, 40) + ": URL"}
	case u.User != nil:
		// Never sent on: a redirect could otherwise make this machine
		// authenticate somewhere, and such a URL is made to be misread.
		return nil, badLocation("the URL carries a user name or password")
	}
	host, ok := normalHost(u)
	if !ok {
		return nil, badLocation("the URL names no valid host and port")
	}
	u.Host = host
	if u.Path == "" {
		u.Path = "/"
	}
	if len(u.String()) > MaxURL {
		return nil, badLocation("the URL is longer than 8192 bytes")
	}
	return u, nil
}

func badLocation(reason string) *Error { return &Error{Kind: BadLocation, reason: reason} }

// tidy does to a URL's text what a browser does before and while parsing
// (WHATWG URL §4.4): it drops white space around and line breaks within, reads
// a backslash before the query as a slash, and keeps a percent sign that escapes
// nothing as itself.
func tidy(raw string) string {
	raw = strings.TrimFunc(raw, func(r rune) bool { return r <= ' ' })
	var b strings.Builder
	part := byte('/') // then '?' in the query, '#' in the fragment
	for i := range len(raw) {
		c := raw[i]
		switch {
		case c == '\t' || c == '\n' || c == '\r':
			continue
		case c == '#', c == '?' && part == '/':
			part = c
			b.WriteByte(c)
		case c <= ' ' || c == 0x7f:
			writeEscaped(&b, c)
		case c == '\\' && part == '/':
			b.WriteByte('/')
		case c == '%' && part != '?' && !escapesByte(raw[i:]):
			writeEscaped(&b, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func escapesByte(s string) bool {
	if len(s) < 3 {
		return false
	}
	_, err := strconv.ParseUint(s[1:3], 16, 8)
	return err == nil
}

// escape percent-encodes what may not stand in a URL. Existing escapes stay as
// they are, also the unusual ones: trackers sign their URLs.
func escape(s, unsafe string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(unsafe, c) >= 0 {
			writeEscaped(&b, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func writeEscaped(b *strings.Builder, c byte) {
	const hex = "0123456789ABCDEF"
	b.Write([]byte{'%', hex[c>>4], hex[c&15]})
}

// hostProfile maps an international host name as browsers do. Underscores pass,
// and two hyphens in a row: hosts have them.
var hostProfile = idna.New(idna.MapForLookup(), idna.ValidateLabels(true),
	idna.CheckHyphens(false), idna.StrictDomainName(false))

// normalHost returns host[:port] in lower-case ASCII, or false.
func normalHost(u *url.URL) (string, bool) {
	if port := u.Port(); port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return "", false
		}
	}
	if strings.HasPrefix(u.Host, "[") {
		ip, err := netip.ParseAddr(u.Hostname())
		return strings.ToLower(u.Host), err == nil && ip.Zone() == "" // a zone names a network card of this machine
	}
	if strings.ContainsRune(u.Hostname(), utf8.RuneError) { // bytes that are no text; idna lets them pass
		return "", false
	}
	name, err := hostProfile.ToASCII(u.Hostname())
	if err != nil || name == "" || len(name) > maxHost || strings.ContainsFunc(name, notInHost) {
		return "", false
	}
	if port := u.Port(); port != "" {
		name += ":" + port
	}
	return name, true
}

func notInHost(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
}
