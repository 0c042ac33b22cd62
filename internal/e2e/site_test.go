package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"linkrelay/internal/resolve"
)

// newSite starts a web site that redirects as trackers do: by status with a
// relative and an absolute Location, and by a page that refreshes.
func newSite(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	mux.Handle("GET /c/7", http.RedirectHandler("/hop?to=shop", http.StatusFound))
	mux.HandleFunc("GET /hop", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", site.URL+"/soon")
		w.WriteHeader(http.StatusMovedPermanently)
	})
	mux.HandleFunc("GET /soon", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><meta http-equiv="refresh" content="0; url=/shop?utm_source=mail&amp;id=7"><title>…</title>`)
	})
	mux.HandleFunc("GET /shop", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "welcome") })
	return site
}

// resolved is what following the site's link must give, the times apart.
func resolved(site string) resolve.Result {
	final := site + "/shop?utm_source=mail&id=7"
	return resolve.Result{
		FinalURL:    final,
		FinalStatus: http.StatusOK,
		Hops: []resolve.Hop{
			{URL: site + "/c/7", Status: http.StatusFound, Location: "/hop?to=shop", Via: resolve.ViaHTTP},
			{URL: site + "/hop?to=shop", Status: http.StatusMovedPermanently, Location: site + "/soon", Via: resolve.ViaHTTP},
			{URL: site + "/soon", Status: http.StatusOK, Location: "/shop?utm_source=mail&id=7", Via: resolve.ViaMeta},
			{URL: final, Status: http.StatusOK},
		},
	}
}
