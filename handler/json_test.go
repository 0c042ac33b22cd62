package handler_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"linkrelay/handler"
	"linkrelay/relay"
)

func TestStrictJSON(t *testing.T) {
	const canary = "CANARY"
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	with := func(member string) string { return strings.TrimSuffix(goodBody, "}") + "," + member + "}" }
	tests := []struct {
		name, body string
		want       relay.Code
		pointer    string   // of a 400
		pointers   []string // of a 422
	}{
		{"empty", ` `, relay.BodyMalformed, "", nil},
		{"cut off", `{"source":"` + canary, relay.BodyMalformed, "", nil},
		{"not JSON", `{` + canary + `}`, relay.BodyMalformed, "", nil},
		{"an array", `["` + canary + `"]`, relay.BodyMalformed, "", nil},
		{"null", `null`, relay.BodyMalformed, "", nil},
		{"a second object", goodBody + goodBody, relay.BodyMalformed, "", nil},
		{"trailing text", goodBody + " " + canary, relay.BodyMalformed, "", nil},
		{"byte order mark", "\ufeff" + goodBody, relay.BodyMalformed, "", nil},
		{"not UTF-8", strings.Replace(goodBody, "crm", "\xff\xfe", 1), relay.BodyMalformed, "", nil},
		{"lone surrogate", strings.Replace(goodBody, "crm", `\ud800`, 1), relay.BodyMalformed, "", nil},
		{"comment", "/**/" + goodBody, relay.BodyMalformed, "", nil},
		{"NaN", with(`"expiresInSeconds":NaN`), relay.BodyMalformed, "", nil},
		{"too deep", with(`"context":` + deep), relay.BodyMalformed, "", nil},
		{"too deep in an unknown name", with(`"x":` + strings.Repeat("[", 5000)), relay.BodyMalformed, "", nil},
		{"name twice", with(`"source":"b"`), relay.JSONDuplicateKey, "/source", nil},
		{"name twice, escaped", with(`"s\u006furce":"b"`), relay.JSONDuplicateKey, "/source", nil},
		{"name twice, nested", with(`"context":{"a":{"b":1,"b":2}}`), relay.JSONDuplicateKey, "/context/a/b", nil},
		{"unknown name twice", with(`"x":1,"x":2`), relay.JSONDuplicateKey, "/x", nil},
		{"unknown name", with(`"x":{"y":[1]}`), relay.ValidationFailed, "", []string{"/x"}},
		{"mis-cased name", strings.Replace(goodBody, "trackingUrl", "trackingURL", 1), relay.ValidationFailed, "", []string{"/trackingURL", "/trackingUrl"}},
		{"wrong types", `{"idempotencyKey":1,"trackingUrl":null,"source":["a"],"rowId":{},"context":[],"expiresInSeconds":"60"}`,
			relay.ValidationFailed, "", []string{"/idempotencyKey", "/trackingUrl", "/source", "/rowId", "/context", "/expiresInSeconds"}},
		{"everything at once", `{"x":1,"source":2,"trackingUrl":"ftp://e.com","expiresInSeconds":59}`,
			relay.ValidationFailed, "", []string{"/x", "/source", "/idempotencyKey", "/trackingUrl", "/rowId", "/expiresInSeconds"}},
		{"private host beside another fault", strings.Replace(with(`"x":1`), "example.com", "10.0.0.1", 1), relay.ValidationFailed, "", []string{"/x", "/trackingUrl"}},
		{"private host alone", strings.Replace(goodBody, "example.com", "10.0.0.1", 1), relay.URLNotAllowed, "/trackingUrl", nil},
		{"fraction", with(`"expiresInSeconds":60.5`), relay.ValidationFailed, "", []string{"/expiresInSeconds"}},
		{"exponent", with(`"expiresInSeconds":1e3`), relay.ValidationFailed, "", []string{"/expiresInSeconds"}},
		{"huge number", with(`"expiresInSeconds":` + strings.Repeat("9", 30)), relay.ValidationFailed, "", []string{"/expiresInSeconds"}},
		{"a number that would overflow a duration", with(`"expiresInSeconds":9223372036854775807`), relay.ValidationFailed, "", []string{"/expiresInSeconds"}},
		{"large context", with(`"context":{"a":"` + strings.Repeat("x", relay.MaxContext) + `"}`), relay.ValidationFailed, "", []string{"/context"}},
	}
	h := newHandler(t, newStore(), handler.Options{}, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := do(h.Public(), fetch(tt.body))
			e := wantProblem(t, w, tt.want)
			if e.Pointer != tt.pointer {
				t.Errorf("pointer %q, want %q", e.Pointer, tt.pointer)
			}
			var pointers []string
			for _, f := range e.Errors {
				pointers = append(pointers, f.Pointer)
			}
			if !reflect.DeepEqual(pointers, tt.pointers) {
				t.Errorf("pointers %q, want %q", pointers, tt.pointers)
			}
			if tt.name == "byte order mark" && !strings.Contains(e.Detail, tt.name) {
				t.Errorf("detail %q", e.Detail)
			}
			if strings.Contains(w.Body.String(), canary) {
				t.Errorf("the answer echoes the input: %s", w.Body)
			}
		})
	}
}

func TestMisCasedNameIsNamed(t *testing.T) {
	h := newHandler(t, newStore(), handler.Options{}, nil)
	e := problem(t, do(h.Public(), fetch(strings.Replace(goodBody, "trackingUrl", "trackingURL", 1))))
	if len(e.Errors) == 0 || !strings.Contains(e.Errors[0].Reason, `did you mean "trackingUrl"?`) {
		t.Errorf("%+v", e.Errors)
	}
}

// The answer to a body full of faults is not many times as large as the body.
func TestFaultsAreBounded(t *testing.T) {
	var body strings.Builder
	body.WriteString("{")
	for i := range 2000 {
		body.WriteString(`"` + string(rune(0x4e00+i)) + `":1,`)
	}
	w := do(newHandler(t, newStore(), handler.Options{}, nil).Public(), fetch(body.String()+`"z":1}`))
	if e := wantProblem(t, w, relay.ValidationFailed); len(e.Errors) != 51 {
		t.Errorf("%d faults are listed", len(e.Errors))
	}
}

func TestFetchBodyArrivesWhole(t *testing.T) {
	store := newStore()
	var got *relay.JobRequest
	admit := store.admit
	store.admit = func(by relay.Caller, r *relay.JobRequest) (relay.Admission, error) {
		got = r
		return admit(by, r)
	}
	h := newHandler(t, store, handler.Options{}, nil)
	body := `{ "\u0073ource":"c\u0072m \u00e9", "context" : { "a" : [ 1 , 2.50 ] , "b":"\u2028 x" }, "expiresInSeconds":60,
		"idempotencyKey":"k", "rowId":"7", "trackingUrl":"https://example.com/?a=1&b=<2>" }`
	if w := do(h.Public(), fetch(body)); w.Code != http.StatusAccepted {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	want := &relay.JobRequest{IdempotencyKey: "k", TrackingURL: "https://example.com/?a=1&b=<2>", Source: "crm é", RowID: "7",
		Context: json.RawMessage(`{"a":[1,2.50],"b":"\u2028 x"}`), Expiry: time.Minute}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// Invariant: whatever is signed, the answer is an admission, a 400 or a 422.
// What is admitted is one JSON object in UTF-8 that encoding/json reads to the
// same values, and what encoding/json cannot read is never admitted.
func FuzzFetchBody(f *testing.F) {
	for _, seed := range []string{goodBody, `{}`, `[]`, `{"source":"a","source":"b"}`, "{\"a\":\"\xff\"}", `{"context":{"a":[{}]}}`,
		strings.TrimSuffix(goodBody, "}") + `,"context":{"a":"\u2028"},"expiresInSeconds":100}`} {
		f.Add([]byte(seed))
	}
	store := newStore()
	var got *relay.JobRequest
	admit := store.admit
	store.admit = func(by relay.Caller, r *relay.JobRequest) (relay.Admission, error) {
		got = r
		return admit(by, r)
	}
	h := newHandler(f, store, handler.Options{}, nil)
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) == 0 || len(body) > relay.MaxFetchBody {
			t.Skip()
		}
		got = nil
		w := do(h.Public(), fetch(string(body)))
		switch w.Code {
		case http.StatusBadRequest, http.StatusUnprocessableEntity:
			return
		case http.StatusAccepted:
		default:
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		var plain struct{ IdempotencyKey, TrackingURL, Source, RowID string }
		if err := json.Unmarshal(body, &plain); err != nil || !utf8.Valid(body) {
			t.Fatalf("admitted %q: %v", body, err)
		}
		if plain.IdempotencyKey != got.IdempotencyKey || plain.TrackingURL != got.TrackingURL || plain.Source != got.Source || plain.RowID != got.RowID {
			t.Errorf("read %+v, encoding/json %+v", got, plain)
		}
		if got.Context != nil && (bytes.ContainsAny(got.Context, "\r\n") || !json.Valid(got.Context)) {
			t.Errorf("context %q", got.Context)
		}
	})
}

// Most of what is answered are URLs, and people read them with grep and sed.
func TestURLsAreAnsweredAsTheyAre(t *testing.T) {
	store := newStore()
	const result = `{"finalUrl":"https://e.com/?a=1&b=<2>"}`
	store.job = func(relay.Caller, string, time.Duration) (relay.Job, error) {
		return relay.Job{ID: jobID, State: relay.Succeeded, RowID: "a&b", Result: []byte(result)}, nil
	}
	w := do(newHandler(t, store, handler.Options{}, nil).Public(), signed(platform, "GET", "/api/links/jobs/"+jobID, ""))
	if body := w.Body.String(); !strings.Contains(body, `"result":`+result) || !strings.Contains(body, `"rowId":"a&b"`) {
		t.Errorf("answer %s", body)
	}
}
