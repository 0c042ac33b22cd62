package handler_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"linkrelay/handler"
	"linkrelay/relay"
	"linkrelay/signature"
)

func at(path string) string {
	return strings.NewReplacer(":account", "acme", "keys/:id", "keys/"+platform.KeyID, ":id", jobID, "*profile", "heap").Replace(path)
}

// Every row keeps what its columns promise, whatever its handler does: nothing
// but probes and link answers an anonymous caller, and no strict route lets an
// unknown parameter or an unwanted body through. The fake store panics when it
// is asked for anything.
func TestEveryRouteIsGuarded(t *testing.T) {
	store := newStore()
	for _, row := range newHandler(t, store, handler.Options{}, nil).PublicTable() {
		t.Run(row.Method+row.Path, func(t *testing.T) {
			h := newHandler(t, store, handler.Options{}, nil) // its throttles remember no other row
			body := ""
			if row.NeedsBody {
				body = `{}`
			}
			by := platform
			if row.Device {
				by = device
			}
			if row.QueryOnly {
				w := do(h.Public(), signed(platform, row.Method, at(row.Path), ""))
				if wantProblem(t, w, relay.MethodNotAllowed); w.Header().Get("Allow") != "POST" {
					t.Errorf("Allow %q", w.Header().Get("Allow"))
				}
				return
			}
			if row.Signed {
				w := do(h.Public(), httptest.NewRequest(row.Method, at(row.Path), nil))
				wantProblem(t, w, relay.HeaderMissing)
				r := signed(by, row.Method, at(row.Path), body)
				r.Header.Set(signature.HeaderNonce, signature.NewNonce())
				wantProblem(t, do(h.Public(), r), relay.SignatureInvalid)
				r = signed(by, row.Method, at(row.Path), body)
				r.RequestURI += "?extra=1"
				wantProblem(t, do(h.Public(), r), relay.SignatureInvalid)
			}
			if row.Strict {
				e := wantProblem(t, do(h.Public(), signed(by, row.Method, at(row.Path)+"?extra=1", body)), relay.ValidationFailed)
				if len(e.Errors) == 0 || e.Errors[0].Pointer != "/query/extra" {
					t.Errorf("faults %+v", e.Errors)
				}
			}
			if !row.TakesBody {
				wantProblem(t, do(h.Public(), signed(by, row.Method, at(row.Path), `{}`)), relay.BodyTooLarge)
			}
		})
	}
}

func TestEveryOperatorRouteIsGuarded(t *testing.T) {
	store := newStore()
	h := newHandler(t, store, handler.Options{}, nil)
	off, err := handler.New(handler.Options{}, store, newLogger())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range h.AdminTable() {
		if !strings.HasPrefix(row.Path, "/api/") && !strings.HasPrefix(row.Path, "/debug/") {
			continue
		}
		t.Run(row.Method+row.Path, func(t *testing.T) {
			w := do(h.Admin(), httptest.NewRequest(row.Method, at(row.Path), nil))
			wantProblem(t, w, relay.Unauthorized)
			if w.Header().Get("WWW-Authenticate") == "" {
				t.Error("no WWW-Authenticate")
			}
			wantProblem(t, do(off.Admin(), asOperator(row.Method, at(row.Path), "")), relay.NotFound)
			body := ""
			if row.NeedsBody {
				body = `{}`
			}
			if row.Strict {
				wantProblem(t, do(h.Admin(), asOperator(row.Method, at(row.Path)+"?extra=1", body)), relay.ValidationFailed)
			}
			if public := do(h.Public(), asOperator(row.Method, at(row.Path), "")); public.Code != http.StatusNotFound {
				t.Errorf("on the public listener: %d", public.Code)
			}
		})
	}
}

func TestUnknownPathAndMethod(t *testing.T) {
	h := newHandler(t, newStore(), handler.Options{}, nil)
	for _, path := range []string{"/", "/api", "/api/links/fetch/", "/API/links/fetch", "/api//links/fetch", "/api/links/jobs/a/b"} {
		if e := wantProblem(t, do(h.Public(), httptest.NewRequest(http.MethodGet, path, nil)), relay.NotFound); !strings.Contains(e.Detail, "exactly") {
			t.Errorf("%s: %q", path, e.Detail)
		}
	}
	w := do(h.Public(), httptest.NewRequest(http.MethodPut, "/api/links/jobs/"+jobID, strings.NewReader("x")))
	if e := wantProblem(t, w, relay.MethodNotAllowed); !strings.Contains(e.Detail, "GET") {
		t.Errorf("detail %q", e.Detail)
	}
	if allow := w.Header().Get("Allow"); !strings.Contains(allow, "GET") || !strings.Contains(allow, "DELETE") {
		t.Errorf("Allow %q", allow)
	}
}

func TestMediaTypes(t *testing.T) {
	h := newHandler(t, newStore(), handler.Options{}, nil)
	for _, tt := range []struct {
		contentType, encoding string
		want                  int
	}{
		{"application/json", "", 202},
		{"application/json; charset=utf-8", "identity", 202},
		{`Application/JSON;charset="UTF-8"`, "", 202},
		{"", "", 415},
		{"text/plain", "", 415},
		{"application/jsonp", "", 415},
		{"application/json; charset=latin1", "", 415},
		{"application/json;;=", "", 415},
		{"application/json", "gzip", 415},
		{"application/json", "identity, gzip", 415},
	} {
		r := fetch(goodBody)
		r.Header.Del("Content-Type")
		if tt.contentType != "" {
			r.Header.Set("Content-Type", tt.contentType)
		}
		if tt.encoding != "" {
			r.Header.Set("Content-Encoding", tt.encoding)
		}
		if w := do(h.Public(), r); w.Code != tt.want {
			t.Errorf("%q %q: %d, want %d", tt.contentType, tt.encoding, w.Code, tt.want)
		}
	}
	r := fetch(goodBody)
	r.Header.Add("Content-Type", "application/json")
	wantProblem(t, do(h.Public(), r), relay.UnsupportedMediaType)
}

func TestRequestIDs(t *testing.T) {
	h := newHandler(t, newStore(), handler.Options{}, nil)
	for sent, kept := range map[string]bool{"abc-1.2_3": true, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false, "a b": false, "a\"b": false, "": false} {
		r := httptest.NewRequest(http.MethodGet, "/livez", nil)
		r.Header.Set("X-Request-Id", sent)
		if got := do(h.Public(), r).Header().Get("X-Request-Id"); (got == sent) != kept || got == "" {
			t.Errorf("sent %q, got %q", sent, got)
		}
	}
}
