package command_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"linkrelay/signature"
)

const goodJob = `{"trackingUrl":"https://example.com/?a=1","source":"s","rowId":"1"}`

// jobBody is a fetch body; iklim's header may stand for its idempotency key.
const jobBody = `{"idempotencyKey":"` + uuid2 + `","trackingUrl":"https://example.com/?a=1","source":"s","rowId":"1"}`

var (
	signTime = time.Unix(1735689600, 0)
	signer   = signature.Signer{KeyID: vectorKey, Secret: vectorSecret}
)

// headerFlags are a request's headers as flags.
func headerFlags(h http.Header) (args []string) {
	for name, values := range h {
		for _, v := range values {
			args = append(args, "-H", name+": "+v)
		}
	}
	return args
}

// check runs sign check over a request.
func check(t *testing.T, h http.Header, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return sign(t, append(append([]string{"check"}, args...), headerFlags(h)...)...)
}

// Every call of the relay, well signed, is good.
func TestCheckGood(t *testing.T) {
	device := signature.Signer{KeyID: signature.NewKeyID(signature.KindDevice), Secret: vectorSecret}
	deviceFile := write(t, `{"relayUrl":"http://h","key":"`+device.KeyID+`","secret":"`+vectorSecret+`"}`)
	type request struct {
		key                  string
		header               http.Header
		method, target, body string
	}
	v2 := func(method, target, body string) request {
		return request{credentials(t), signer.V2(signTime, vectorNonce, method, target, []byte(body)), method, target, body}
	}
	iklim := func(method, target, body string) request {
		return request{credentials(t), signer.Iklim(signTime, uuid1, uuid2, method, target, []byte(body)), method, target, body}
	}
	desk := func(method, target, body string) request {
		return request{deviceFile, device.V2(signTime, vectorNonce, method, target, []byte(body)), method, target, body}
	}
	query := func(method, target string) request { return request{credentials(t), nil, method, target, ""} }
	create := signer.CreateQuery(signTime.Add(time.Minute), signature.QueryJob{IdempotencyKey: "k", TrackingURL: "https://x.example/?ü", Source: "s", RowID: "1"})
	read := signer.ReadQuery(signTime.Add(time.Minute))
	const id = "/api/links/jobs/job_0123456789ABCDEFabc"
	for _, r := range []request{
		{credentials(t), signer.V1(signTime, vectorNonce, []byte(jobBody)), "POST", "/api/links/fetch", jobBody},
		v2("POST", "/api/links/fetch", jobBody), v2("POST", "/api/links/verify", jobBody), v2("GET", id+"?wait=2", ""), v2("DELETE", id, ""),
		v2("GET", "/api/links/jobs?idempotencyKey=k&wait=1", ""), v2("GET", "/api/links/quota", ""),
		iklim("POST", "/api/links/fetch", goodJob), iklim("POST", "/api/links/verify", jobBody), iklim("GET", id, ""), iklim("DELETE", id, ""), iklim("GET", "/api/links/quota", ""),
		query("GET", "/api/links/fetch?"+create), query("POST", "/api/links/fetch?"+create), query("POST", "/api/links/verify?"+create),
		query("GET", id+"?"+read), query("GET", "/api/links/jobs?idempotencyKey=k&"+read), query("GET", "/api/links/quota?"+read),
		desk("GET", "/api/desktop/jobs/stream?maxInFlight=4", ""), desk("GET", "/api/desktop/keys", ""), desk("POST", "/api/desktop/keys", `{"name":"n","environment":"live"}`),
		desk("POST", "/api/desktop/keys/"+vectorKey+"/rotate", `{"graceSeconds":0}`), desk("DELETE", "/api/desktop/keys/"+vectorKey, ""),
		desk("POST", strings.Replace(id, "links", "desktop", 1)+"/accept", `{"lease":"l_0123456789"}`),
	} {
		t.Run(r.method+" "+r.target, func(t *testing.T) {
			if r.body != "" {
				r.header.Set("Content-Type", "application/json")
			}
			stdout, stderr, code := check(t, r.header, "--credentials", r.key, "--method", r.method, "--url", "https://relay.example"+r.target, "--body", r.body, "--at", vectorTime)
			if code != 0 || stderr != "" || strings.Contains(stdout, "WRONG") || strings.Contains(stdout, "open") || strings.Count(stdout, "\n") != 6 {
				t.Errorf("exit %d, %s\n%s", code, stderr, stdout)
			}
		})
	}
}

// What it looks like.
func TestCheckOutput(t *testing.T) {
	stdout, stderr, code := check(t, signer.V2(signTime, vectorNonce, "GET", "/api/links/quota", nil), "--credentials", credentials(t), "--url", "/api/links/quota", "--at", "1735689590")
	const good = `headers    ok  link-peeler v2, complete and well-formed
key        ok  lp_live_Vect0rsOnlyKeyA115GEgn has the form and the checksum of a key id
secret     ok  has the form and the checksum of a secret
time       ok  signed 10s in the future, of at most 5m0s
signature  ok  matches
request    ok  passes the relay's other checks; only the relay knows the rest, such as whether secret and key belong together: POST /api/links/verify asks it
`
	if stdout != good || stderr != "" || code != 0 {
		t.Errorf("exit %d, %s\n%swant\n%s", code, stderr, stdout, good)
	}
	stdout, stderr, code = check(t, signer.V2(signTime, vectorNonce, "POST", "/api/links/fetch", []byte("{}")), "--credentials", credentials(t), "--url", "/api/links/fetch", "--body", "{\"ü\": 1}\n", "--at", "1735693201")
	const bad = `headers    ok     link-peeler v2, complete and well-formed
key        ok     lp_live_Vect0rsOnlyKeyA115GEgn has the form and the checksum of a key id
secret     ok     has the form and the checksum of a secret
time       WRONG  signed 1h0m1s ago, of at most 5m0s: that is a time zone's difference, and unix time counts from 1970 in UTC
signature  WRONG  It was made with another secret, or over other bytes than those below: compare them with what your program signs.
request    open   not looked at: what the relay checks next needs a signature that matches

The HMAC has to be made over these bytes:

  1735689600.n0nce-For_vectors-0001.POST./api/links/fetch.{"ü⟨C3 BC⟩": 1}␊

␊ ␍ ␉ ␀ are a line feed, a carriage return, a tab and a zero byte, ␠ is a space at the end of a line, and ⟨…⟩
shows in hex the bytes of what is not ASCII or cannot be seen.
`
	if stdout != bad || stderr != "linkrelay: the relay would refuse this request\n" || code != 1 {
		t.Errorf("exit %d, %s\n%swant\n%s", code, stderr, stdout, bad)
	}
}

// Every mistake, and the line that says what it is.
func TestCheckWrong(t *testing.T) {
	const fetch, quota = "/api/links/fetch", "/api/links/quota"
	v2 := func(s signature.Signer, body string) http.Header {
		return s.V2(signTime, vectorNonce, "POST", fetch, []byte(body))
	}
	quotaBy := func(s signature.Signer) http.Header { return s.V2(signTime, vectorNonce, "GET", quota, nil) }
	with := func(h http.Header, name string, values ...string) http.Header {
		h[name] = values
		return h
	}
	other := signature.NewKeyID(signature.KindLive)
	job := signature.QueryJob{IdempotencyKey: "k", TrackingURL: "https://x.example/", Source: "s", RowID: "1"}
	soon, typed := signTime.Add(time.Minute), "application/json"
	withBreak := signature.Signer{KeyID: vectorKey, Secret: vectorSecret + "\n"}
	milliseconds := signature.Signer{KeyID: vectorKey, Secret: vectorSecret}.V2(signTime, vectorNonce, "GET", quota, nil)
	milliseconds.Set(signature.HeaderSignature, "v2="+mac(t, vectorTime+"000."+vectorNonce+".GET."+quota+"."))
	inBase64 := quotaBy(signer)
	raw, _ := hex.DecodeString(strings.TrimPrefix(inBase64.Get(signature.HeaderSignature), "v2="))
	inBase64.Set(signature.HeaderSignature, "v2="+base64.StdEncoding.EncodeToString(raw))
	sha1Query := quota + "?AccessID=" + vectorKey + "&Expires=1735689660&Signature=2b2cf8d8b8ad2b8a0a4ac4a2c6b8e6a1b8b5d1f3"

	tests := map[string]struct {
		header http.Header
		args   []string
		want   string
	}{
		"header missing":    {with(quotaBy(signer), signature.HeaderNonce), []string{"--url", quota}, "headers  WRONG  X-Link-Peeler-Nonce is missing: it must be 16 to 128 characters"},
		"header twice":      {with(quotaBy(signer), signature.HeaderTimestamp, vectorTime, vectorTime), []string{"--url", quota}, "headers  WRONG  X-Link-Peeler-Timestamp is duplicated: it must be sent exactly once"},
		"milliseconds":      {with(quotaBy(signer), signature.HeaderTimestamp, vectorTime+"000"), []string{"--url", quota}, "X-Link-Peeler-Timestamp is malformed: it must be the time of signing as unix seconds, exactly 10 digits; 13 digits look like milliseconds"},
		"parameter missing": {nil, []string{"--url", quota + "?AccessID=" + vectorKey}, "Expires is missing: it must be"},
		"parameter twice":   {nil, []string{"--url", quota + "?Expires=1735689660&" + signer.ReadQuery(soon)}, "Expires is duplicated: it must be sent exactly once"},
		"nothing signed":    {nil, []string{"--url", quota}, "X-Link-Peeler-Key is missing"},
		"raw |":             {signer.Iklim(signTime, uuid1, uuid2, "GET", quota+"?a|b", nil), []string{"--url", quota + "?a|b"}, "percent-encode it as %7C and sign that"},

		"mistyped key":        {quotaBy(signature.Signer{KeyID: vectorKey[:29] + "m", Secret: vectorSecret}), []string{"--url", quota}, "key        WRONG  the key id that was sent was never issued: it is mistyped or cut off"},
		"key with more":       {quotaBy(signature.Signer{KeyID: vectorKey + "%0A", Secret: vectorSecret}), []string{"--url", quota}, "was never issued"},
		"secret as key":       {quotaBy(signature.Signer{KeyID: signature.NewSecret(), Secret: vectorSecret}), []string{"--url", quota}, "the key id that was sent is a secret: the key id begins with lp_"},
		"another key":         {quotaBy(signature.Signer{KeyID: other, Secret: vectorSecret}), []string{"--url", quota}, "the request says that it is of " + other + ", and the credentials are those of " + vectorKey},
		"expired key":         {quotaBy(signer), []string{"--url", quota, "--credentials", credentials(t, "expiresAt", "2025-01-01T00:00:00Z")}, "the key expired at 2025-01-01T00:00:00Z"},
		"secret cut off":      {quotaBy(signer), []string{"--url", quota, "--credentials", credentials(t, "secret", vectorSecret[:50])}, "secret     WRONG  the secret was never issued: it is mistyped or cut off (lps_ and 49 characters"},
		"secret with a break": {quotaBy(withBreak), []string{"--url", quota, "--credentials", credentials(t, "secret", vectorSecret+"\n")}, "the secret has white space, quotes or a byte order mark around it"},
		"secret with a mark":  {quotaBy(signer), []string{"--url", quota, "--key", vectorKey, "--secret-file", write(t, "\uFEFF"+vectorSecret)}, "the secret has white space, quotes or a byte order mark around it"},
		"line break in file":  {quotaBy(withBreak), []string{"--url", quota, "--key", vectorKey, "--secret-file", write(t, vectorSecret+"\n")}, "secret     note   has the form and the checksum of a secret, and a line break follows it in its file"},
		"and was signed with": {quotaBy(withBreak), []string{"--url", quota, "--key", vectorKey, "--secret-file", write(t, vectorSecret+"\n")}, "signature  WRONG  The secret was used with the line break that followed it in a file"},

		"stale":            {quotaBy(signer), []string{"--url", quota, "--at", "1735689911"}, "time       WRONG  signed 5m11s ago, of at most 5m0s\n"},
		"time zone":        {quotaBy(signer), []string{"--url", quota, "--at", "1735682410"}, "signed 1h59m50s in the future, of at most 5m0s: that is a time zone's difference"},
		"expired":          {nil, []string{"--url", quota + "?" + signer.ReadQuery(soon), "--at", "1735689661"}, "time       WRONG  Expires passed 1s ago"},
		"expires too late": {nil, []string{"--url", quota + "?" + signer.ReadQuery(soon), "--at", "1735688000"}, "time       WRONG  Expires is 27m40s ahead, of at most 10m0s"},

		"another body":           {v2(signer, goodJob), []string{"--url", fetch, "--body", jobBody}, "signature  WRONG  It was made with another secret, or over other bytes"},
		"another secret":         {quotaBy(signature.Signer{KeyID: vectorKey, Secret: signature.NewSecret()}), []string{"--url", quota}, "signature  WRONG  It was made with another secret, or over other bytes"},
		"body signed trimmed":    {v2(signer, jobBody), []string{"--url", fetch, "--body", jobBody + "\n"}, "signature  WRONG  The body was signed without the white space around it that was sent"},
		"milliseconds signed":    {milliseconds, []string{"--url", quota}, "signature  WRONG  The timestamp was signed in milliseconds"},
		"whole URL signed":       {signer.V2(signTime, vectorNonce, "GET", "https://relay.example"+quota, nil), []string{"--url", "https://relay.example" + quota}, "signature  WRONG  The whole URL was signed"},
		"the same by Host":       {with(signer.V2(signTime, vectorNonce, "GET", "http://relay.example:8080"+quota, nil), "Host", "relay.example:8080"), []string{"--url", quota}, "signature  WRONG  The whole URL was signed"},
		"no host to be known":    {signer.V2(signTime, vectorNonce, "GET", quota+"?%", nil), []string{"--url", quota + "?%zz"}, "signature  WRONG  It was made with another secret"},
		"base64":                 {inBase64, []string{"--url", quota}, "signature  WRONG  The signature is right but was sent in base64"},
		"no secret in variable":  {quotaBy(signature.Signer{KeyID: vectorKey}), []string{"--url", quota}, "signature  WRONG  The HMAC's key was empty"},
		"reading base, creating": {nil, []string{"--url", fetch + "?" + signer.ReadQuery(soon)}, "signature  WRONG  Only AccessID and Expires were signed"},
		"SHA-1 that is wrong":    {nil, []string{"--url", sha1Query}, "signature  WRONG  It was made with another secret"},

		"v1 elsewhere":      {signer.V1(signTime, vectorNonce, nil), []string{"--url", quota}, "request    WRONG  400 header_malformed: X-Link-Peeler-Signature must be a v2 value for this call"},
		"no such path":      {signer.V2(signTime, vectorNonce, "GET", quota+"/", nil), []string{"--url", quota + "/"}, "request    WRONG  404 not_found: no such path; a path is matched exactly"},
		"method":            {signer.V2(signTime, vectorNonce, "PUT", quota, nil), []string{"--url", quota, "--method", "PUT"}, "405 method_not_allowed"},
		"media type":        {v2(signer, jobBody), []string{"--url", fetch, "--body", jobBody}, "415 unsupported_media_type"},
		"body":              {with(v2(signer, `{"idempotencyKey":"","extra":1}`), "Content-Type", typed), []string{"--url", fetch, "--body", `{"idempotencyKey":"","extra":1}`}, "422 validation_failed: "},
		"duplicate name":    {with(v2(signer, `{"a":1,"a":2}`), "Content-Type", typed), []string{"--url", fetch, "--body", `{"a":1,"a":2}`}, "400 json_duplicate_key"},
		"control character": {nil, []string{"--url", fetch + "?" + signer.CreateQuery(soon, signature.QueryJob{IdempotencyKey: "k\n1", TrackingURL: job.TrackingURL, Source: "s", RowID: "1"})}, "/idempotencyKey must hold printable characters only"},
		"repeated value":    {nil, []string{"--url", fetch + "?" + signer.CreateQuery(soon, job) + "&source=x"}, "request    WRONG  422 validation_failed: /query/source must be sent once"},
		"unknown parameter": {nil, []string{"--url", quota + "?x=1&" + signer.ReadQuery(soon)}, "/query/x is not a known parameter"},
		"query cancels":     {nil, []string{"--url", "/api/links/jobs/job_1?" + signer.ReadQuery(soon), "--method", "DELETE"}, "AccessID cannot sign this call"},
		"scheme of the key": {signer.Iklim(signTime, uuid1, uuid2, "GET", quota, nil), []string{"--url", quota, "--credentials", credentials(t, "schemes", []string{"link-peeler"}, "scopes", []string{"jobs:read"})}, "403 scheme_not_allowed: the key was created without scheme iklim"},
		"scope of the key":  {nil, []string{"--url", fetch + "?" + signer.CreateQuery(soon, job), "--credentials", credentials(t, "schemes", []string{"signed-query"}, "scopes", []string{"jobs:create"})}, "403 scope_missing: this call needs the scope jobs:create:query"},
		"iklim's other key": {with(signer.Iklim(signTime, uuid1, uuid1, "POST", fetch, []byte(jobBody)), "Content-Type", typed), []string{"--url", fetch, "--body", jobBody}, "request    WRONG  422 "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			args := tt.args
			if all := strings.Join(args, " "); !strings.Contains(all, "--credentials") && !strings.Contains(all, "--key") {
				args = append(args, "--credentials", credentials(t))
			}
			if !strings.Contains(strings.Join(args, " "), "--at") {
				args = append(args, "--at", vectorTime)
			}
			stdout, stderr, code := check(t, tt.header, args...)
			if code != 1 || stderr != "linkrelay: the relay would refuse this request\n" || !strings.Contains(stdout, tt.want) {
				t.Errorf("exit %d, %s\n%swant …%s…", code, stderr, stdout, tt.want)
			}
		})
	}
}

// HMAC-SHA1 passes with a key that allows it, or of which nothing is known.
func TestCheckSHA1(t *testing.T) {
	url, _, _ := sign(t, "url", "--at", vectorTime, `/api/links/quota?AccessID=`+vectorKey+`&Expires={hash.getExpiryTime(60);}&Signature={hash.append("`+vectorKey+
		`").appendNewLine().append(hash.getExpiryTime(60)).encodeHmacSha1("`+vectorSecret+`").encodeBase64().encodeURL().printDigest();}`)
	url = strings.TrimSpace(url)
	schemes := []any{"schemes", []string{"signed-query"}, "scopes", []string{"jobs:read"}}
	for allow, want := range map[string]int{"": 0, "true": 0, "false": 1} {
		file := credentials(t)
		if allow != "" {
			file = credentials(t, append(schemes, "allowSha1", allow == "true")...)
		}
		stdout, _, code := check(t, nil, "--credentials", file, "--url", url, "--at", vectorTime)
		if code != want || strings.Contains(stdout, "created without allowSha1: sign with HMAC-SHA256") != (want == 1) {
			t.Errorf("allowSha1 %q: exit %d\n%s", allow, code, stdout)
		}
		if strings.Contains(stdout, "signature  note  is an HMAC-SHA1, which only keys created with allowSha1 may use") != (allow == "") {
			t.Errorf("allowSha1 %q: is it noted?\n%s", allow, stdout)
		}
	}
}

// Headers come as a client shows them, request line included.
func TestCheckHeadersFile(t *testing.T) {
	h := signer.V2(signTime, vectorNonce, "POST", "/api/links/fetch", []byte(jobBody))
	text := "POST /api/links/fetch HTTP/1.1\r\nHost: h\r\ncontent-type: application/json\r\n"
	for name, v := range h {
		text += strings.ToLower(name) + ":   " + v[0] + " \r\n"
	}
	stdin(t, text+"\r\n")
	stdout, stderr, code := sign(t, "check", "--credentials", credentials(t), "--headers-file", "-", "--body-file", write(t, jobBody), "--at", vectorTime)
	if code != 0 {
		t.Errorf("exit %d, %s\n%s", code, stderr, stdout)
	}
}

// What sign request prints is what sign check takes, at this very moment.
func TestCheckTakesRequest(t *testing.T) {
	for _, scheme := range []string{"link-peeler", "iklim"} {
		body := write(t, jobBody+"\n")
		common := []string{"--credentials", credentials(t), "--url", "/api/links/fetch", "--body-file", body}
		headers, _, _ := sign(t, append([]string{"request", "--scheme", scheme}, common...)...)
		if stdout, stderr, code := sign(t, append([]string{"check", "--headers-file", write(t, headers)}, common...)...); code != 0 {
			t.Errorf("%s: exit %d, %s\n%s", scheme, code, stderr, stdout)
		}
	}
	url, _, _ := sign(t, "request", "--scheme", "signed-query", "--credentials", credentials(t), "--url", "https://h/api/links/quota", "--expires-in", "10m")
	if stdout, stderr, code := sign(t, "check", "--credentials", credentials(t), "--url", strings.TrimSpace(url)); code != 0 {
		t.Errorf("exit %d, %s\n%s", code, stderr, stdout)
	}
}

func TestCheckJSON(t *testing.T) {
	h := signer.Iklim(signTime, uuid1, uuid2, "GET", "/api/links/quota", nil)
	for _, tt := range []struct {
		path, verdicts, base string
		code                 int
	}{
		{"/api/links/quota", "headers ok, key ok, secret ok, time ok, signature ok, request ok", "", 0},
		{"/api/links/quotas", "headers ok, key ok, secret ok, time ok, signature wrong, request open", "GET|/api/links/quotas|1735689600000|", 1},
	} {
		stdout, _, code := check(t, h, "--credentials", credentials(t), "--url", tt.path, "--json", "--at", vectorTime)
		var report struct {
			Good              bool
			Scheme, Key, Base string
			Findings          []struct{ Check, Verdict, Text string }
		}
		if err := json.Unmarshal([]byte(stdout), &report); err != nil {
			t.Fatal(err)
		}
		var verdicts []string
		for _, f := range report.Findings {
			verdicts = append(verdicts, f.Check+" "+f.Verdict)
		}
		if code != tt.code || report.Good != (code == 0) || report.Scheme != "iklim" || report.Key != vectorKey || report.Base != tt.base || strings.Join(verdicts, ", ") != tt.verdicts {
			t.Errorf("%s: exit %d, %s", tt.path, code, stdout)
		}
	}
}

// A secret in a wrong place is not shown either: sign looks for it.
func TestSecretInTheWrongPlace(t *testing.T) {
	swapped := write(t, `{"key":"`+vectorSecret+`","secret":"`+vectorKey+`"}`)
	leaky := signature.Signer{KeyID: vectorSecret, Secret: vectorSecret}
	h := leaky.V2(signTime, vectorNonce, "GET", "/", nil)
	query := "/api/links/quota?" + leaky.ReadQuery(signTime) + "x"
	for _, args := range [][]string{
		{"request", "--credentials", swapped, "--url", "/"},
		{"request", "--key", vectorKey, "--secret-file", vectorSecret, "--url", "/"},
		{"request", "--key", vectorSecret, "--url", "/", "--secret", vectorSecret},
		{"request", "--url", "/", "--secret=" + vectorSecret},
		{"request", vectorSecret},
		append([]string{"check", "--credentials", swapped, "--url", "/"}, headerFlags(h)...),
		append([]string{"check", "--credentials", credentials(t), "--url", "/", "--json"}, headerFlags(h)...),
		append([]string{"check", "--credentials", swapped, "--url", "/"}, headerFlags(signer.V2(signTime, vectorNonce, "GET", "/", nil))...),
		{"check", "--credentials", credentials(t), "--url", query},
		{"check", "--credentials", credentials(t), "--url", query, "--json"},
		{"check", "--credentials", credentials(t), "--url", "/", "-H", vectorSecret},
	} {
		if _, _, code := sign(t, args...); code == 0 {
			t.Errorf("sign %q is content", args)
		}
	}
}
