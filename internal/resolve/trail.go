package resolve

import (
	"context"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"
)

// MaxVisits is how many requests one URL gets in a resolution, however its
// cookies change.
const MaxVisits = 3

// trail is one resolution under way.
type trail struct {
	*Resolver
	jar    *cookiejar.Jar
	visits map[string]int  // requests by URL without fragment
	seen   map[string]bool // requests by URL and the cookies sent with it
	result Result
}

func newTrail(r *Resolver) *trail {
	// With the public suffix list no hop can set a cookie for all of .co.uk.
	jar, err := cookiejar.New(&cookiejar.Options{PublicSuffixList: publicsuffix.List})
	if err != nil { // documented never to happen
		panic(err)
	}
	return &trail{Resolver: r, jar: jar, visits: map[string]int{}, seen: map[string]bool{}, result: Result{Hops: []Hop{}}}
}

// follow walks from the link to its final page.
func (t *trail) follow(ctx context.Context, link string) *Error {
	here, fault := locate(nil, link)
	for fault == nil && here != nil {
		host := here.Host
		here, fault = t.step(ctx, here)
		if fault != nil {
			fault.hop, fault.host = len(t.result.Hops), host
		}
	}
	return fault
}

// step requests one URL, records the hop and returns the next URL, or nil at
// the final page.
func (t *trail) step(ctx context.Context, here *url.URL) (*url.URL, *Error) {
	t.remember(here)
	start := time.Now()
	a, err := t.fetch(ctx, here)
	t.result.Hops = append(t.result.Hops, Hop{
		URL:      here.String(),
		Status:   a.status,
		Location: cut(a.location, MaxURL),
		Via:      a.via,
		Millis:   time.Since(start).Milliseconds(),
	})
	switch {
	case err != nil:
		return nil, t.failure(ctx, err)
	case a.via == "":
		return nil, t.finish(here, a)
	}
	return t.next(here, a)
}

// next decides whether the answer's location is followed.
func (t *trail) next(here *url.URL, a answer) (*url.URL, *Error) {
	location := a.location
	if a.via == ViaHTTP && here.Fragment != "" && !strings.Contains(location, "#") {
		location += "#" + here.EscapedFragment() // RFC 9110 §10.2.2: the fragment is inherited
	}
	next, fault := locate(a.base, location)
	switch {
	case a.via != ViaHTTP && t.stays(here, next, fault):
		return nil, t.finish(here, a)
	case fault != nil:
		return nil, fault
	case t.looped(next):
		return nil, &Error{Kind: Loop, reason: "redirects to a URL that was already requested with the same cookies, or too often"}
	case len(t.result.Hops) > t.maxHops:
		return nil, &Error{Kind: TooManyHops, reason: "redirects once more than is followed"}
	}
	t.result.Downgraded = t.result.Downgraded || here.Scheme == "https" && next.Scheme == "http"
	return next, nil
}

// stays reports whether a page that asks for a refresh nevertheless stays on a
// visitor's screen: it asks for itself over and over, or for something that is
// not a web page (an app, a script).
func (t *trail) stays(here, next *url.URL, fault *Error) bool {
	if fault != nil {
		return fault.Kind == UnsupportedScheme
	}
	return withoutFragment(here) == withoutFragment(next) && t.looped(next)
}

// finish records the final page.
func (t *trail) finish(here *url.URL, a answer) *Error {
	if comeBack(a.status) {
		return &Error{
			Kind: ServerError, Status: a.status, RetryAfter: a.wait,
			reason: "the final page answered " + http.StatusText(a.status),
		}
	}
	t.result.FinalURL, t.result.FinalStatus = here.String(), a.status
	return nil
}

func (t *trail) remember(u *url.URL) {
	t.visits[withoutFragment(u)]++
	t.seen[t.withCookies(u)] = true
}

// looped reports whether requesting u would lead in a circle.
func (t *trail) looped(u *url.URL) bool {
	return t.seen[t.withCookies(u)] || t.visits[withoutFragment(u)] >= MaxVisits
}

// withCookies names a request by all that a server can tell it apart by.
func (t *trail) withCookies(u *url.URL) string {
	var b strings.Builder
	b.WriteString(withoutFragment(u))
	for _, c := range t.jar.Cookies(u) {
		b.WriteString("\n" + c.Name + "=" + c.Value)
	}
	return b.String()
}

func withoutFragment(u *url.URL) string {
	s, _, _ := strings.Cut(u.String(), "#")
	return s
}
