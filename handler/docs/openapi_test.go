package docs_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"linkrelay/handler"
	"linkrelay/handler/docs"
	"linkrelay/relay"
	"linkrelay/signature"
)

func load(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(docs.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// The document is one that tools can read: valid OpenAPI 3.1, every reference
// leads somewhere, and every example is one of its schema.
func TestOpenAPIIsValid(t *testing.T) {
	doc := load(t)
	if !doc.IsOpenAPI31OrLater() {
		t.Errorf("version %s", doc.OpenAPI)
	}
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaFormatValidation(), openapi3.EnableMultiError()); err != nil {
		t.Error(err)
	}
}

var ginParameter = regexp.MustCompile(`[:*](\w+)`)

// The document has the public listener's calls, and no others.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	h, err := handler.New(handler.Options{}, nil, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	var routes, documented []string
	for _, r := range h.Public().(*gin.Engine).Routes() {
		routes = append(routes, r.Method+" "+ginParameter.ReplaceAllString(r.Path, "{$1}"))
	}
	for path, item := range load(t).Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	slices.Sort(routes)
	slices.Sort(documented)
	if diff := cmp.Diff(routes, documented); diff != "" {
		t.Errorf("the route table and the document differ (-routes +documented):\n%s", diff)
	}
}

// operatorsOnly are the codes that the public listener never answers.
var operatorsOnly = []relay.Code{relay.Unauthorized, relay.AlreadyExists}

// Every code of the catalogue is explained with what the catalogue says, and
// is said to occur somewhere, under its own status.
func TestOpenAPIHasEveryCode(t *testing.T) {
	doc := load(t)
	var codes []any
	for _, e := range relay.Catalogue {
		codes = append(codes, string(e.Code))
		example := doc.Components.Examples[string(e.Code)]
		if example == nil {
			t.Errorf("%s is not explained", e.Code)
			continue
		}
		shown := example.Value.Value.(map[string]any)
		want := map[string]any{"code": string(e.Code), "status": float64(e.Status), "title": e.Title, "retryable": e.Retryable, "type": "/problems/" + string(e.Code)}
		for name, value := range want {
			if shown[name] != value {
				t.Errorf("%s: %s is shown as %v, want %v", e.Code, name, shown[name], value)
			}
		}
		if example.Value.Summary != e.Title || example.Value.Description == "" {
			t.Errorf("%s: summary %q, description %q", e.Code, example.Value.Summary, example.Value.Description)
		}
		if occurs(doc, e) == slices.Contains(operatorsOnly, e.Code) {
			t.Errorf("%s: is it answered under %d by some call? %v", e.Code, e.Status, !slices.Contains(operatorsOnly, e.Code))
		}
	}
	if diff := cmp.Diff(codes, doc.Components.Schemas["Problem"].Value.Properties["code"].Value.Enum); diff != "" {
		t.Errorf("Problem's codes are not the catalogue's:\n%s", diff)
	}
	if n := len(doc.Components.Examples); n != len(relay.Catalogue) {
		t.Errorf("%d codes are explained, the catalogue has %d", n, len(relay.Catalogue))
	}
}

func occurs(doc *openapi3.T, e relay.Entry) bool {
	found := false
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			for status, r := range op.Responses.Map() {
				m := r.Value.Content["application/problem+json"]
				if m == nil || m.Examples[string(e.Code)] == nil {
					continue
				}
				found = found || status == strconv.Itoa(e.Status)
			}
		}
	}
	return found
}

// The document's bounds are those that the relay enforces.
func TestOpenAPIHasTheLimits(t *testing.T) {
	doc := load(t)
	schemas := doc.Components.Schemas
	member := func(path string) *openapi3.Schema {
		of, name, _ := strings.Cut(path, ".")
		s := schemas[of].Value.Properties[name]
		if s == nil {
			t.Fatalf("no member %s", path)
		}
		return s.Value
	}
	length := func(path string) int64 { return int64(*member(path).MaxLength) }
	seconds := func(d time.Duration) int64 { return int64(d / time.Second) }
	for what, tt := range map[string]struct{ shown, want int64 }{
		"idempotencyKey":   {length("JobRequest.idempotencyKey"), relay.MaxIdempotencyKey},
		"trackingUrl":      {length("JobRequest.trackingUrl"), relay.MaxTrackingURL},
		"source":           {length("JobRequest.source"), relay.MaxSource},
		"rowId":            {length("JobRequest.rowId"), relay.MaxRowID},
		"least expiry":     {int64(*member("JobRequest.expiresInSeconds").Min), seconds(relay.MinExpiry)},
		"most expiry":      {int64(*member("JobRequest.expiresInSeconds").Max), seconds(relay.MaxExpiry)},
		"usual expiry":     {int64(member("JobRequest.expiresInSeconds").Default.(float64)), seconds(relay.DefaultExpiry)},
		"name of a key":    {length("NewKeyRequest.name"), relay.MaxName},
		"name of a device": {length("LinkRequest.name"), relay.MaxName},
		"failure text":     {length("Job.error"), relay.MaxFailureText},
		"retry delay":      {int64(*member("FailRequest.delaySeconds").Max), seconds(relay.MaxRetryDelay)},
		"grace":            {int64(*member("RotateRequest.graceSeconds").Max), seconds(relay.MaxGrace)},
		"usual grace":      {int64(member("RotateRequest.graceSeconds").Default.(float64)), seconds(relay.DefaultGrace)},
		"secrets":          {int64(*member("Key.secrets").MaxItems), relay.MaxSecrets},
	} {
		if tt.shown != tt.want {
			t.Errorf("%s: documented %d, the relay has %d", what, tt.shown, tt.want)
		}
	}
	for code, want := range map[relay.Code]float64{relay.BodyTooLarge: relay.MaxFetchBody, relay.HeadersTooLarge: relay.MaxHeaderBytes} {
		if shown := doc.Components.Examples[string(code)].Value.Value.(map[string]any)["limit"]; shown != want {
			t.Errorf("%s: the example's limit is %v, the relay's %v", code, shown, want)
		}
	}
	parameters := doc.Components.Parameters
	if wait := parameters["wait"].Value.Schema.Value.Max; int64(*wait) != seconds(relay.MaxWait) {
		t.Errorf("wait: documented %v", *wait)
	}
	stream := doc.Paths.Find("/api/desktop/jobs/stream").Get.Parameters.GetByInAndName("query", "maxInFlight").Schema.Value
	if int(*stream.Max) != relay.MaxStreamsInFlight || stream.Default != float64(relay.DefaultInFlight) {
		t.Errorf("maxInFlight: documented %v, default %v", *stream.Max, stream.Default)
	}
	text := string(docs.OpenAPI())
	for _, says := range []string{"at most 4096 bytes when compact", "at most 65536 bytes when compact", "until 24 hours after it became final", "deeper than 32", "at most 600 ahead", "Up to 4 such values"} {
		if !strings.Contains(text, says) {
			t.Errorf("the document does not say %q any more; then this test must hold what it says against the limits", says)
		}
	}
	if relay.MaxContext != 4096 || relay.MaxResult != 65536 || relay.Retention != 24*time.Hour || relay.MaxJSONDepth != 32 || signature.MaxQueryAhead != 600*time.Second {
		t.Error("a limit changed that the document has in words")
	}
}

// The ids in the examples are of the form they must be, checksums included: whoever
// copies one out of them gets as far as the relay's look-up.
func TestExamplesAreReal(t *testing.T) {
	text := string(docs.OpenAPI())
	for pattern, valid := range map[string]func(string) bool{
		`"job_\w{17,}"`:                 func(s string) bool { _, _, ok := relay.ParseJobID(s); return ok },
		`"lp_(?:live|test|device)_\w+"`: func(s string) bool { _, ok := signature.ParseKeyID(s); return ok },
		`"lps_\w+"`:                     signature.ValidSecret,
	} {
		found := regexp.MustCompile(pattern).FindAllString(text, -1)
		if len(found) == 0 {
			t.Errorf("no example has %s", pattern)
		}
		for _, quoted := range found {
			if s := strings.Trim(quoted, `"`); !valid(s) {
				t.Errorf("%s would never be issued", s)
			}
		}
	}
	var problem struct{ Diagnosis string }
	example, err := json.Marshal(load(t).Components.Examples["signature_invalid"].Value.Value)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(example, &problem); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(signature.Mistakes, func(m signature.Mistake) bool { return m.Sentence == problem.Diagnosis && !m.Offline }) {
		t.Errorf("no diagnosis says %q", problem.Diagnosis)
	}
}
