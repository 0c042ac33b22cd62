package relay

import (
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// nonPublic are the ranges that never lead to the public internet, besides
// those netip itself names (loopback, private, link-local, multicast). From
// the IANA special-purpose registries (RFC 6890 and its updates).
var nonPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),    // shared address space; also some clouds' metadata
	netip.MustParsePrefix("168.63.129.16/32"), // a cloud's metadata at an address that looks public
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("fec0::/10"),
}

// embedding are IPv6 ranges that carry an IPv4 address, with its byte offset.
var embedding = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("::/96"), 12},
	{netip.MustParsePrefix("64:ff9b::/96"), 12},
	{netip.MustParsePrefix("2002::/16"), 2},
}

// PublicAddr reports whether an address leads to the public internet. An IPv6
// address that embeds an IPv4 one (mapped, compatible, NAT64, 6to4) is judged
// by what it embeds; Teredo is refused whole.
func PublicAddr(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range nonPublic {
		if p.Contains(a) {
			return false
		}
	}
	if netip.MustParsePrefix("2001::/32").Contains(a) {
		return false
	}
	for _, e := range embedding {
		if e.prefix.Contains(a) {
			b := a.As16()
			return PublicAddr(netip.AddrFrom4([4]byte(b[e.at : e.at+4])))
		}
	}
	return true
}

// PublicHost reports whether a URL's host, judged by its text alone, may lead
// to the public internet: names of this machine or of a cloud's metadata
// service, and literal addresses that are not public, in any spelling a
// resolver accepts (127.1, 0x7f000001, 2130706433, [::ffff:10.0.0.1]), do
// not. A name that resolves to a private address passes: only whoever
// resolves it can tell (see the reference desktop).
func PublicHost(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if strings.ContainsFunc(host, func(r rune) bool { return r >= 0x80 }) {
		ascii, err := hostProfile.ToASCII(host) // full-width letters and digits become plain
		if err != nil {
			return false // nobody can tell what a resolver makes of it
		}
		host = strings.TrimSuffix(ascii, ".")
	}
	if host == "" || !strings.Contains(host, ".") && !strings.Contains(host, ":") && !numeric(host) {
		return false // "localhost", "metadata", "redis": a bare name is always local
	}
	for _, suffix := range []string{".localhost", ".local", ".internal", ".localdomain"} {
		if strings.HasSuffix(host, suffix) {
			return false
		}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return PublicAddr(a)
	}
	if numeric(host[strings.LastIndexByte(host, '.')+1:]) { // as WHATWG URL §3.5 tells an address from a name
		if a, ok := legacyIPv4(host); ok {
			return PublicAddr(a)
		}
	}
	return true
}

var hostProfile = idna.New(idna.MapForLookup(), idna.CheckHyphens(false), idna.StrictDomainName(false))

func numeric(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

// legacyIPv4 reads the spellings of inet_aton that browsers and libc accept
// (WHATWG URL §3.5): one to four parts, each decimal, octal (0…) or hex (0x…),
// the last filling the remaining bytes.
func legacyIPv4(host string) (netip.Addr, bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var v uint64
	for i, p := range parts {
		base, digits := 10, p
		switch {
		case strings.HasPrefix(p, "0x"):
			base, digits = 16, p[2:]
		case len(p) > 1 && p[0] == '0':
			base, digits = 8, p[1:]
		}
		n, err := strconv.ParseUint(digits, base, 32)
		if digits == "" && base == 16 {
			n, err = 0, nil
		}
		if err != nil {
			return netip.Addr{}, false
		}
		if i < len(parts)-1 {
			if n > 255 {
				return netip.Addr{}, false
			}
			v |= n << (8 * (3 - i))
		} else {
			if n >= 1<<(8*(4-i)) {
				return netip.Addr{}, false
			}
			v |= n
		}
	}
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), true
}
