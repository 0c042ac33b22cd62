package resolve_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"linkrelay/internal/resolve"
)

func parse(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// What browsers make of it, except where marked.
func TestLocate(t *testing.T) {
	base := parse(t, "https://t.example/dir/page?x=1#old")
	for raw, want := range map[string]string{
		"next":                       "https://t.example/dir/next",
		"/next":                      "https://t.example/next",
		"//CDN.Example/x":            "https://cdn.example/x",
		"?y=2":                       "https://t.example/dir/page?y=2",
		"#new":                       "https://t.example/dir/page?x=1#new",
		"":                           "https://t.example/dir/page?x=1#old", // package url's reading; never asked for
		"../../../up":                "https://t.example/up",
		"HTTP://Shop.Example":        "http://shop.example/",
		"http://shop.example:8080?q": "http://shop.example:8080/?q",
		"  /trim\r\n":                "https://t.example/trim",
		"/br\r\neak\t":               "https://t.example/break",
		"/a b?c d#e f":               "https://t.example/a%20b?c%20d#e%20f",
		`\\evil.example\x`:           "https://evil.example/x",
		`https:\\evil.example\x?a\b`: `https://evil.example/x?a\b`,
		"/caf\u00e9?q=\u00e9#\u00e9": "https://t.example/caf%C3%A9?q=%C3%A9#%C3%A9",
		"/latin\xe9?q=\xe9":          "https://t.example/latin%E9?q=%E9",
		"/100%":                      "https://t.example/100%25", // a browser leaves the sign as it is
		"/a%2fb\u00e9":               "https://t.example/a%2fb%C3%A9",
		"/x?u=100%&r=%zz":            "https://t.example/x?u=100%&r=%zz",
		"/{a}|\"<b>\"?{c}|\"<d>'":    "https://t.example/%7Ba%7D%7C%22%3Cb%3E%22?{c}|%22%3Cd%3E%27",
		"/\x01\x7f":                  "https://t.example/%01%7F",
		"http://b\u00fccher.example": "http://xn--bcher-kva.example/",
		"http://b%C3%BCcher.example": "http://xn--bcher-kva.example/",
		"http://r3---sn.example/":    "http://r3---sn.example/",
		"http://a_b.example/":        "http://a_b.example/",
		"http://[2001:DB8::1]:80/":   "http://[2001:db8::1]:80/",
		"/#a#b":                      "https://t.example/#a%23b", // a browser leaves the sign as it is
		"/?a#b?c":                    "https://t.example/?a#b?c",
	} {
		got, err := resolve.Locate(base, raw)
		if err != nil || got.String() != want {
			t.Errorf("Locate(%q) = %v, %v; want %s", raw, got, err, want)
		}
	}
}

func TestLocateRefuses(t *testing.T) {
	base := parse(t, "https://t.example/")
	for raw, want := range map[string]resolve.Kind{
		"ftp://t.example/":                                   resolve.UnsupportedScheme,
		"javascript:alert(1)":                                resolve.UnsupportedScheme,
		"file:///etc/passwd":                                 resolve.UnsupportedScheme,
		"data:text/html,x":                                   resolve.UnsupportedScheme,
		"itms-apps://apple.example/app/id1":                  resolve.UnsupportedScheme,
		"intent://x#Intent;scheme=y;end":                     resolve.UnsupportedScheme,
		"gopher:x":                                           resolve.UnsupportedScheme,
		"https://user:pass@t.example/":                       resolve.BadLocation,
		"https://user@t.example/":                            resolve.BadLocation,
		"//trusted.example@evil.example/":                    resolve.BadLocation,
		`https://trusted.example\@evil.example/`:             "", // read as a browser does: host trusted.example
		"http://":                                            resolve.BadLocation,
		"http:///path":                                       resolve.BadLocation,
		"http:path":                                          resolve.BadLocation,
		"http://a b.example/":                                resolve.BadLocation,
		"http://a\"b.example/":                               resolve.BadLocation,
		"http://t.example:99999/":                            resolve.BadLocation,
		"http://t.example:x/":                                resolve.BadLocation,
		"http://[::1%25eth0]/":                               resolve.BadLocation,
		"http://" + strings.Repeat("long.", 51) + "example/": resolve.BadLocation,
		"http://[1.2.3.4]/":                                  resolve.BadLocation,
		"http://[::1/":                                       resolve.BadLocation,
		"http://\xff.example/":                               resolve.BadLocation,
		"/" + strings.Repeat("a", resolve.MaxURL):            resolve.BadLocation,
		"/" + strings.Repeat("\u00e9", resolve.MaxURL/3):     resolve.BadLocation, // too long once escaped
	} {
		got, err := resolve.Locate(base, raw)
		if want == "" {
			if err != nil || got.Host != "trusted.example" {
				t.Errorf("Locate(%q) = %v, %v", raw, got, err)
			}
			continue
		}
		fault, ok := errors.AsType[*resolve.Error](err)
		if !ok || fault.Kind != want || fault.Retryable() {
			t.Errorf("Locate(%.60q) = %v, %v; want %s", raw, got, err, want)
		}
	}
}

func TestLinksThatAreNotFollowed(t *testing.T) {
	for link, want := range map[string]resolve.Kind{
		"":                         resolve.BadLocation,
		"example.com/x":            resolve.BadLocation,
		"/x":                       resolve.BadLocation,
		"ftp://example.com/x":      resolve.UnsupportedScheme,
		"http://user@example.com/": resolve.BadLocation,
	} {
		if result, _ := failed(t, local(), link, want); len(result.Hops) != 0 || result.Hops == nil {
			t.Errorf("%q: hops %#v, want an empty list", link, result.Hops)
		}
	}
}

// A redirect that is refused is told with where it pointed.
func TestRefusedRedirectIsRecorded(t *testing.T) {
	for location, want := range map[string]resolve.Kind{
		"market://details?id=app":                   resolve.UnsupportedScheme,
		"http://user:secret@127.0.0.1/":             resolve.BadLocation,
		"/" + strings.Repeat("a", resolve.MaxURL+9): resolve.BadLocation,
	} {
		base := site(t, map[string]http.HandlerFunc{"/": redirect(302, location)})
		result, fault := failed(t, local(), base, want)
		if len(result.Hops) != 1 || !strings.HasPrefix(location, strings.TrimSuffix(result.Hops[0].Location, "…")) {
			t.Errorf("%.60q: hops %+v", location, result.Hops)
		}
		if strings.Contains(fault.Error(), "secret") || strings.Contains(fault.Error(), "details") {
			t.Errorf("%q repeats the location", fault)
		}
	}
}

func TestFragmentsAreInherited(t *testing.T) {
	base := site(t, map[string]http.HandlerFunc{
		"/keep":    redirect(302, "/end"),
		"/replace": redirect(302, "/end#new"),
		"/drop":    redirect(302, "/end#"),
		"/meta":    page(`<meta http-equiv=refresh content="0;url=/end">`),
		"/end":     answers(200),
	})
	for path, want := range map[string]string{
		"/keep#a%20b": "/end#a%20b",
		"/replace#a":  "/end#new",
		"/drop#a":     "/end",
		"/meta#a":     "/end",
	} {
		if got := resolved(t, local(), base+path); got.FinalURL != base+want {
			t.Errorf("%s leads to %s, want %s", path, got.FinalURL, want)
		}
	}
}

// The bytes of a redirect reach the next server as a browser would send them.
func TestWeirdLocationBytesOnTheWire(t *testing.T) {
	var target string
	base := site(t, map[string]http.HandlerFunc{
		"/":     redirect(302, "/end/caf\xc3\xa9 \"x\"%2F?n=\xe9 |&p=50%"),
		"/end/": func(_ http.ResponseWriter, r *http.Request) { target = r.RequestURI },
	})
	resolved(t, local(), base+"/")
	if want := "/end/caf%C3%A9%20%22x%22%2F?n=%E9%20|&p=50%"; target != want {
		t.Errorf("the server saw %q, want %q", target, want)
	}
}

// Invariants: what is accepted is a normal http(s) URL of printable ASCII, in
// bounds, with a host and without user-info, and reads as itself again.
func FuzzLocate(f *testing.F) {
	for _, s := range []string{
		"next", "//h/p", `\\h\p`, "http://u@h/", "HTTP://\u00fc.x:80?a#b", "/%zz%2f\xff", "http://[::1]:1", "?a b#\"", "intent:x",
	} {
		f.Add(s)
	}
	base := parse(f, "https://t.example/dir/page?x=1")
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := resolve.Locate(base, raw)
		if err != nil {
			return
		}
		s := u.String()
		if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || len(s) > resolve.MaxURL {
			t.Fatalf("accepted %q as %q", raw, s)
		}
		if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Fatalf("%q became %q, which is not printable ASCII", raw, s)
		}
		again, err := resolve.Locate(nil, s)
		if err != nil || again.String() != s {
			t.Fatalf("%q became %q, then %v, %v", raw, s, again, err)
		}
	})
}
