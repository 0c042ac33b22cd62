package contracttest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"linkrelay/handler/docs"
	"linkrelay/internal/contracttest"
)

func contract(t *testing.T) *contracttest.Contract {
	t.Helper()
	c, err := contracttest.New(docs.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func headers(pairs ...string) http.Header {
	h := http.Header{}
	for pair := range slices.Chunk(pairs, 2) {
		h.Add(pair[0], pair[1])
	}
	return h
}

func signed(more ...string) http.Header {
	return headers(append([]string{"X-Link-Peeler-Key", "lp_live_Vect0rsOnlyKeyA115GEgn", "X-Link-Peeler-Timestamp", "1735689600",
		"X-Link-Peeler-Nonce", "n0nce-For_vectors-0001", "X-Link-Peeler-Signature", strings.Repeat("0", 64)}, more...)...)
}

func answered(more ...string) http.Header {
	return headers(append([]string{"X-Request-Id", "r-1", "Cache-Control", "no-store", "X-Content-Type-Options", "nosniff", "Content-Length", "7"}, more...)...)
}

const job = `{"jobId":"job_jALCASCG1hQCNFLCUYa8g72","state":"queued","idempotencyKey":"k","source":"s","rowId":"r","createdAt":"2025-01-01T00:00:00.412Z","expiresAt":"2025-01-02T00:00:00.412Z"}`

func admitted() *contracttest.Exchange {
	return &contracttest.Exchange{
		Method: http.MethodPost, Target: "/api/links/fetch", Request: signed("Content-Type", "application/json"),
		RequestBody: []byte(`{"idempotencyKey":"k","trackingUrl":"https://click.example/","source":"s","rowId":"r"}`),
		Status:      http.StatusAccepted,
		Answer:      answered("Content-Type", "application/json", "Location", "/api/links/jobs/job_jALCASCG1hQCNFLCUYa8g72", "RateLimit", `"day";r=1;t=2`),
		AnswerBody:  []byte(job), Whole: true,
	}
}

func read() *contracttest.Exchange {
	e := admitted()
	e.Method, e.Target, e.RequestBody, e.Status = http.MethodGet, "/api/links/jobs?idempotencyKey=k&wait=3", nil, http.StatusOK
	e.Request, e.Answer = signed(), answered("Content-Type", "application/json")
	return e
}

func byQuery() *contracttest.Exchange {
	e := read()
	e.Request = http.Header{}
	e.Target += "&AccessID=lp_live_Vect0rsOnlyKeyA115GEgn&Expires=1735689600&signedAuthentication=x"
	return e
}

func lost() *contracttest.Exchange {
	return &contracttest.Exchange{
		Method: http.MethodPost, Target: "/api/desktop/jobs/job_jALCASCG1hQCNFLCUYa8g72/extend", Request: signed(), Status: http.StatusConflict,
		Answer: answered("Content-Type", "application/problem+json"), Whole: true,
		AnswerBody: []byte(`{"type":"/problems/lease_lost","title":"The lease is no longer held","status":409,"detail":"d","code":"lease_lost","requestId":"r-1","retryable":false,"jobId":"job_jALCASCG1hQCNFLCUYa8g72"}`),
	}
}

func iklim() *contracttest.Exchange {
	e := lost()
	e.Method, e.Target, e.Status = http.MethodGet, "/api/links/quota", http.StatusUnauthorized
	e.Request = headers("X-Api-Key", "k", "X-Signature", "s")
	e.AnswerBody = []byte(`{"type":"/problems/signature_invalid","title":"The signature does not match","status":401,"detail":"d","code":"signature_invalid","requestId":"r-1","retryable":false,` +
		`"timestamp":"2025-01-01T00:00:00.412Z","error":"Unauthorized","message":"d","path":"/api/links/quota"}`)
	return e
}

func stream() *contracttest.Exchange {
	e := read()
	e.Target = "/api/desktop/jobs/stream?maxInFlight=2"
	e.Answer = answered("Content-Type", "text/event-stream", "X-Accel-Buffering", "no")
	e.AnswerBody, e.Whole = []byte("event: ping\ndata: {\"seq\":1}\n\nevent: cancel\ndata: {\"jo"), false
	return e
}

func elsewhere() *contracttest.Exchange {
	e := lost()
	e.Target, e.Status = "/api/nowhere", http.StatusNotFound
	e.AnswerBody = []byte(`{"type":"/problems/not_found","title":"There is nothing here","status":404,"detail":"d","code":"not_found","requestId":"r-1","retryable":false}`)
	return e
}

func TestGoodExchangesPass(t *testing.T) {
	c := contract(t)
	for _, e := range []*contracttest.Exchange{admitted(), read(), byQuery(), lost(), iklim(), stream(), elsewhere()} {
		for _, fault := range c.Check(e) {
			t.Error(fault)
		}
	}
	successes, codes := c.Unproven()
	if slices.Contains(successes, "POST /api/links/fetch 202") || !slices.Contains(successes, "POST /api/links/fetch 200") || !slices.Contains(successes, "POST /api/desktop/jobs/{id}/extend 200") {
		t.Errorf("unproven successes: %q; a refusal proves nothing, a success does", successes)
	}
	if slices.Contains(codes, "lease_lost") || !slices.Contains(codes, "job_final") {
		t.Errorf("unproven codes: %q", codes)
	}
	unseen := c.Unseen()
	if slices.Contains(unseen, "POST /api/desktop/jobs/{id}/extend 409 lease_lost") || !slices.Contains(unseen, "POST /api/desktop/jobs/{id}/extend 409 job_final") {
		t.Errorf("unseen: %q", unseen)
	}
}

// Each of these differs from a good exchange in one thing, and is found out by it.
func TestDoctoredExchangesFail(t *testing.T) {
	c := contract(t)
	type exchange = contracttest.Exchange
	replace := func(text []byte, old, with string) []byte {
		if !strings.Contains(string(text), old) {
			t.Fatalf("%s has no %s", text, old)
		}
		return []byte(strings.Replace(string(text), old, with, 1))
	}
	body := func(old, with string) func(*exchange) {
		return func(e *exchange) { e.AnswerBody = replace(e.AnswerBody, old, with) }
	}
	request := func(old, with string) func(*exchange) {
		return func(e *exchange) { e.RequestBody = replace(e.RequestBody, old, with) }
	}
	set := func(name, value string) func(*exchange) { return func(e *exchange) { e.Answer.Set(name, value) } }
	target := func(s string) func(*exchange) { return func(e *exchange) { e.Target = s } }
	for name, tt := range map[string]struct {
		good   func() *exchange
		doctor func(*exchange)
		finds  string
	}{
		"a member renamed":               {admitted, body("jobId", "jobID"), "missing property 'jobId'"},
		"a member added":                 {admitted, body(`{`, `{"shard":1,`), "'shard' not allowed"},
		"a number for a text":            {admitted, body(`"rowId":"r"`, `"rowId":7`), "want string"},
		"a state nobody knows":           {admitted, body("queued", "waiting"), "value must be one of"},
		"a time without zone":            {admitted, body("00.412Z", "00.412"), "is not valid date-time"},
		"not JSON":                       {admitted, body("{", ""), "not JSON"},
		"HTML":                           {admitted, set("Content-Type", "text/html"), "Content-Type"},
		"a status nobody documented":     {admitted, func(e *exchange) { e.Status = http.StatusCreated }, "status 201"},
		"a header left out":              {admitted, func(e *exchange) { e.Answer.Del("Location") }, "header Location is missing"},
		"a header twice":                 {admitted, func(e *exchange) { e.Answer.Add("Location", "/") }, "header Location was sent 2 times"},
		"a header of another form":       {admitted, set("RateLimit", "limit=1"), "header Ratelimit"},
		"a header nobody documented":     {admitted, set("X-Shard", "1"), "header X-Shard is not documented"},
		"a cache":                        {admitted, set("Cache-Control", "public"), "header Cache-Control"},
		"a request's member renamed":     {admitted, request("rowId", "rowID"), "missing property 'rowId'"},
		"a request's member added":       {admitted, request("{", `{"priority":1,`), "'priority' not allowed"},
		"a form":                         {admitted, func(e *exchange) { e.Request.Set("Content-Type", "application/x-www-form-urlencoded") }, "Content-Type"},
		"no signature":                   {admitted, func(e *exchange) { e.Request.Del("X-Link-Peeler-Nonce") }, "none of the documented ways"},
		"a parameter nobody documented":  {read, target("/api/links/jobs?idempotencyKey=k&verbose=1"), "verbose is not documented"},
		"a parameter out of bounds":      {read, target("/api/links/jobs?idempotencyKey=k&wait=26"), "maximum"},
		"a parameter that is no number":  {read, target("/api/links/jobs?idempotencyKey=k&wait=soon"), "want integer"},
		"a parameter left out":           {read, target("/api/links/jobs?wait=1"), "idempotencyKey is missing"},
		"a path that is no id":           {read, target("/api/links/jobs/7"), "parameter id"},
		"a body with a GET":              {read, func(e *exchange) { e.RequestBody = []byte("{}") }, "a body is not documented"},
		"half a signature":               {byQuery, target("/api/links/jobs?idempotencyKey=k&AccessID=x&Signature=x"), "none of the documented ways"},
		"a body nobody signed":           {byQuery, func(e *exchange) { e.RequestBody = []byte("{}") }, "a body is not documented"},
		"a code nobody documented":       {lost, body(`"code":"lease_lost"`, `"code":"job_gone"`), "not documented for this status"},
		"a code of another status":       {lost, body(`"code":"lease_lost"`, `"code":"not_found"`), "not documented for this status"},
		"another title":                  {lost, body("The lease", "This lease"), "title is"},
		"another status inside":          {lost, body("409", "410"), "status is 410"},
		"somebody else's request id":     {lost, body("r-1", "r-2"), "requestId"},
		"a member of another code":       {lost, body(`"jobId"`, `"header":"x","jobId"`), "header is no member"},
		"a member of the code left out":  {lost, body(`,"jobId":"job_jALCASCG1hQCNFLCUYa8g72"`, ""), "jobId is missing"},
		"iklim's members elsewhere":      {lost, body(`"jobId"`, `"path":"/","jobId"`), "path is no member"},
		"a frame nobody documented":      {stream, body("event: ping", "event: pong"), "not documented"},
		"a frame's member renamed":       {stream, body("seq", "n"), "missing property 'seq'"},
		"a stream held back":             {stream, func(e *exchange) { e.Answer.Del("X-Accel-Buffering") }, "X-Accel-Buffering"},
		"something where nothing should": {elsewhere, func(e *exchange) { e.Status = http.StatusOK }, "status 200"},
	} {
		t.Run(name, func(t *testing.T) {
			e := tt.good()
			tt.doctor(e)
			if found := strings.Join(c.Check(e), "\n"); !strings.Contains(found, tt.finds) {
				t.Errorf("found %q, want something with %q", found, tt.finds)
			}
		})
	}
}

// What passes through a Recorder arrives unchanged, and is kept.
func TestRecorder(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write(append([]byte("got "), text...))
	}))
	t.Cleanup(server.Close)
	var kept []*contracttest.Exchange
	client := &http.Client{Transport: contracttest.Recorder{RoundTripper: server.Client().Transport, Done: func(_ *http.Request, e *contracttest.Exchange) { kept = append(kept, e) }}}
	for _, whole := range []bool{true, false} {
		resp, err := client.Post(server.URL+"/a%2Fb?c=%20", "text/plain", strings.NewReader("tea"))
		if err != nil {
			t.Fatal(err)
		}
		if whole {
			if text, err := io.ReadAll(resp.Body); string(text) != "got tea" || err != nil {
				t.Errorf("%q, %v", text, err)
			}
		}
		_ = resp.Body.Close()
		e := kept[len(kept)-1]
		if e.Method != http.MethodPost || e.Target != "/a%2Fb?c=%20" || string(e.RequestBody) != "tea" || e.Request.Get("Content-Type") != "text/plain" ||
			e.Status != http.StatusTeapot || e.Answer.Get("Content-Length") != "7" || e.Whole != whole || whole != (string(e.AnswerBody) == "got tea") {
			t.Errorf("kept %+v", e)
		}
	}
	if len(kept) != 2 {
		t.Errorf("%d exchanges, want 2", len(kept))
	}
}
