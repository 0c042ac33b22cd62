package resolve_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"linkrelay/internal/resolve"
)

// Each page is served at /dir/page; what it leads to is /dir/page itself when
// a browser would stay.
func TestMetaRefresh(t *testing.T) {
	const stay = "/dir/page"
	for body, want := range map[string]string{
		`<meta http-equiv="refresh" content="0;url=/next">`:                                         "/next",
		`<META HTTP-EQUIV='REFRESH' CONTENT='0;URL=/next'>`:                                         "/next",
		`<meta content="0;url=/next" http-equiv=refresh />`:                                         "/next",
		`<meta http-equiv=refresh content="0;URL='/next'">`:                                         "/next",
		`<meta http-equiv=refresh content='0; url = "/next" trailing'>`:                             "/next",
		`<meta http-equiv=refresh content="0;url=next">`:                                            "/dir/next",
		`<meta http-equiv=refresh content="0;url=../next?a=1&amp;b=2#f">`:                           "/next?a=1&b=2#f",
		`<meta http-equiv=refresh content="0;url=?q">`:                                              "/dir/page?q",
		`<meta http-equiv=refresh content="30; /next">`:                                             "/next",
		"<meta\nhttp-equiv=refresh\ncontent='\n0\n;\nurl\n=\n/next'>":                               "/next",
		`<base href="/other/"><meta http-equiv=refresh content="0;url=next">`:                       "/other/next",
		`<base target=x><base href="/o/"><meta http-equiv=refresh content="0;url=n">`:               "/o/n",
		`<base href="data:,"><meta http-equiv=refresh content="0;url=next">`:                        "/dir/next",
		`<meta http-equiv=refresh content="0;url=/next"><base href="http://late.example/">`:         "/next",
		`<html><body><p>Wait<meta http-equiv=refresh content="3;url=/next"></body></html>`:          "/next",
		`<meta http-equiv=refresh content=soon><meta http-equiv=refresh content="0;url=/next">`:     "/next",
		`<template></template><meta http-equiv=refresh content="0;url=/next">`:                      "/next",
		`<noscript></noscript><meta http-equiv=refresh content="0;url=/next">`:                      "/next",
		strings.Repeat(" ", resolve.MaxHTML-60) + `<meta http-equiv=refresh content="0;url=/next">`: "/next",

		`<meta http-equiv=refresh content="31;url=/next">`:                                              stay,
		`<meta http-equiv=refresh content="300"><meta http-equiv=refresh content="0;url=/next">`:        stay,
		`<meta http-equiv=refresh content="0">`:                                                         stay,
		`<meta http-equiv=refresh content="0;url=">`:                                                    stay,
		`<meta http-equiv=refresh content="0;url=javascript:location='/next'">`:                         stay,
		`<meta http-equiv=refresh>`:                                                                     stay,
		`<meta name=refresh content="0;url=/next">`:                                                     stay,
		`<meta http-equiv=refreſh content="0;url=/next">`:                                               stay,
		`<meta http-equiv=refresh http-equiv=x content="" content="0;url=/next">`:                       stay,
		`<!-- <meta http-equiv=refresh content="0;url=/next"> -->`:                                      stay,
		`<noscript><meta http-equiv=refresh content="0;url=/next"></noscript>`:                          stay,
		`<script>document.write('<meta http-equiv=refresh content="0;url=/next">')</script>`:            stay,
		`<title><meta http-equiv=refresh content="0;url=/next"></title>`:                                stay,
		`<textarea><meta http-equiv=refresh content="0;url=/next"></textarea>`:                          stay,
		`<template><template></template><meta http-equiv=refresh content="0;url=/next"></template>`:     stay,
		`<a title='<meta http-equiv=refresh content="0;url=/next">'>`:                                   stay,
		`&lt;meta http-equiv=refresh content="0;url=/next"&gt;`:                                         stay,
		`<meta http-equiv=refresh content="0;url=/next"`:                                                stay,
		strings.Repeat(" ", resolve.MaxHTML) + `<meta http-equiv=refresh content="0;url=/next">`:        stay,
		strings.Repeat(" ", resolve.MaxHTML-4-40) + `<meta http-equiv=refresh content="0;url=/next/x">`: stay, // cut within the tag
	} {
		base := site(t, map[string]http.HandlerFunc{stay: page(body), "/": answers(200)})
		got := resolved(t, local(), base+stay)
		if got.FinalURL != base+want {
			t.Errorf("%.120q\nleads to %s, want %s", strings.TrimSpace(body), strings.TrimPrefix(got.FinalURL, base), want)
		}
	}
}

func TestOnlyPlainHTMLIsSearched(t *testing.T) {
	const body = `<meta http-equiv=refresh content="0;url=/next">`
	for name, c := range map[string]struct {
		header map[string]string
		status int
		leads  bool
	}{
		"html":             {map[string]string{"Content-Type": "text/html"}, 200, true},
		"upper case":       {map[string]string{"Content-Type": "Text/HTML;Charset=latin1"}, 200, true},
		"odd parameter":    {map[string]string{"Content-Type": "text/html; charset"}, 200, true},
		"identity":         {map[string]string{"Content-Type": "text/html", "Content-Encoding": "identity"}, 200, true},
		"plain text":       {map[string]string{"Content-Type": "text/plain"}, 200, false},
		"xhtml":            {map[string]string{"Content-Type": "application/xhtml+xml"}, 200, false},
		"unreadable type":  {map[string]string{"Content-Type": "text/"}, 200, false},
		"gzip unasked for": {map[string]string{"Content-Type": "text/html", "Content-Encoding": "gzip"}, 200, false},
		"an error page":    {map[string]string{"Content-Type": "text/html"}, 404, false},
	} {
		base := site(t, map[string]http.HandlerFunc{
			"/": func(w http.ResponseWriter, _ *http.Request) {
				for k, v := range c.header {
					w.Header().Set(k, v)
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(body))
			},
			"/next": answers(200),
		})
		if got := resolved(t, local(), base+"/"); (got.FinalURL == base+"/next") != c.leads {
			t.Errorf("%s: ends at %s", name, got.FinalURL)
		}
	}
}

// A page's header decides before its text does.
func TestRefreshHeaderComesFirst(t *testing.T) {
	base := site(t, map[string]http.HandlerFunc{
		"/": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Refresh", "0;url=/header")
			page(`<meta http-equiv=refresh content="0;url=/meta">`)(w, r)
		},
		"/header": answers(200),
		"/meta":   answers(200),
	})
	if got := resolved(t, local(), base+"/"); got.FinalURL != base+"/header" {
		t.Errorf("ends at %s", got.FinalURL)
	}
}

func TestParseRefresh(t *testing.T) {
	type parsed struct {
		seconds int
		target  string
		ok      bool
	}
	for s, want := range map[string]parsed{
		"0":                      {0, "", true},
		" 5 ":                    {5, "", true},
		"5;":                     {5, "", true},
		"5.9; url=a":             {5, "a", true},
		".5,a":                   {0, "a", true},
		"1..2;a":                 {1, "a", true},
		"1 a":                    {1, "a", true},
		"1;;a":                   {1, ";a", true},
		"1,url=a;b":              {1, "a;b", true},
		"1;urla":                 {1, "urla", true},
		"1;url a":                {1, "url a", true},
		"1;ur":                   {1, "ur", true},
		"1;uRL\t=\n'a b'c":       {1, "a b", true},
		`1;url="a'b`:             {1, "a'b", true},
		`1;"a"`:                  {1, "a", true},
		`1;url=url=a`:            {1, "url=a", true},
		"1;url=''":               {1, "", true},
		"99999999999999999999;a": {365 * 24 * 3600, "a", true},
		"":                       {},
		"a":                      {},
		"-1;url=a":               {},
		"+1;url=a":               {},
		";url=a":                 {},
		"1x;url=a":               {},
		"1url=a":                 {},
		"\u00a01;url=a":          {},
		"url=a":                  {},
	} {
		delay, target, ok := resolve.ParseRefresh(s)
		if got := (parsed{int(delay / time.Second), target, ok}); got != want {
			t.Errorf("ParseRefresh(%q) = %+v, want %+v", s, got, want)
		}
	}
}

// Invariants: the target is a piece of the input; a delay is never negative;
// and writing what was read in the plainest spelling reads the same again.
func FuzzParseRefresh(f *testing.F) {
	for _, s := range []string{"0", "0;url=/a", "5 ; URL = 'a\"b' c", "1.5,x", ".;", "9999999999 url=\"", "1;url=url=\t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		delay, target, ok := resolve.ParseRefresh(s)
		if !ok {
			if delay != 0 || target != "" {
				t.Fatalf("refused, yet %v %q", delay, target)
			}
			return
		}
		if delay < 0 || !strings.Contains(s, target) {
			t.Fatalf("%q: delay %v, target %q", s, delay, target)
		}
		plain := "url=" + target
		for _, quote := range []string{`"`, "'"} {
			if !strings.Contains(target, quote) {
				plain = "url=" + quote + target + quote
			}
		}
		plain = fmt.Sprintf("%d;%s", delay/time.Second, plain)
		sameDelay, sameTarget, ok := resolve.ParseRefresh(plain)
		if !ok || sameDelay != delay || sameTarget != target {
			t.Fatalf("%q read as %v %q, and %q as %v %q", s, delay, target, plain, sameDelay, sameTarget)
		}
	})
}
