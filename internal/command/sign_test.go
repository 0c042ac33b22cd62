package command_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"linkrelay/signature"
)

// A key of the published vectors, and when they are signed.
const (
	vectorKey    = "lp_live_Vect0rsOnlyKeyA115GEgn"
	vectorSecret = "lps_thisSecretIsPublishedAndMustNeverSignForRea3DUFt2"
	vectorTime   = "1735689600"
	vectorNonce  = "n0nce-For_vectors-0001"
)

// sign runs linkrelay sign, which never prints the secret that it works with.
func sign(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	stdout, stderr, code = linkrelay(t, append([]string{"sign"}, args...)...)
	if all := stdout + stderr; strings.Contains(all, "lps_this") || strings.Contains(all, "S3cr3t") {
		t.Errorf("sign %q shows a secret:\n%s", args, all)
	}
	return stdout, stderr, code
}

// write makes a file and returns its path.
func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// stdin makes a text the standard input for the rest of the test.
func stdin(t *testing.T, content string) {
	t.Helper()
	file, err := os.Open(write(t, content))
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stdin
	os.Stdin = file
	t.Cleanup(func() { os.Stdin = old; file.Close() })
}

// credentials is a file of the vectors' key, with more members where a test
// has more to say.
func credentials(t *testing.T, more ...any) string {
	t.Helper()
	key := map[string]any{"key": vectorKey, "secret": vectorSecret}
	for i := 0; i < len(more); i += 2 {
		key[more[i].(string)] = more[i+1]
	}
	text, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, string(text))
}

const moz = `https://h/p?AccessID=id&Expires={hash.getExpiryTime(240);}&Signature={hash.append("id").appendNewLine().append(hash.getExpiryTime(240)).encodeHmacSha1("S3cr3t").encodeBase64().encodeURL().printDigest();}`

// From openssl: printf 'id\n1735689840' | openssl dgst -sha1 -hmac S3cr3t -binary | openssl base64
const mozURL = "https://h/p?AccessID=id&Expires=1735689840&Signature=r5dx1%2Bu1F7l5ZDVZuRM%2F2IBlJLE%3D\n"

func TestSignURL(t *testing.T) {
	for name, args := range map[string][]string{
		"argument":            {moz},
		"file":                {"--file", write(t, moz)},
		"file with its break": {"--file", write(t, moz+"\n")},
		"and with Windows'":   {"--file", write(t, strings.ReplaceAll(moz, ").", ")\r\n  .")+"\r\n")},
		"standard input":      {"-"},
		"as a file":           {"--file", "-"},
	} {
		t.Run(name, func(t *testing.T) {
			stdin(t, moz+"\n")
			stdout, stderr, code := sign(t, append([]string{"url", "--at", vectorTime}, args...)...)
			if stdout != mozURL || stderr != "" || code != 0 {
				t.Errorf("exit %d, %q, %q", code, stdout, stderr)
			}
		})
	}
}

// A mistake is shown with its place; what is in quotes is not.
func TestSignURLMistake(t *testing.T) {
	stdout, stderr, code := sign(t, "url", strings.Replace(moz, ".encodeBase64().encodeURL()", "", 1))
	const want = `linkrelay: template, line 1, column 162: printDigest(): cannot have the raw bytes that encodeHmacSha1() makes: put toHex() or encodeBase64() in between
  ().append(hash.getExpiryTime(***)).encodeHmacSha1("******").printDigest();}
                                                              ^
`
	if stdout != "" || stderr != want || code != 1 {
		t.Errorf("exit %d, %q,\n%swant\n%s", code, stdout, stderr, want)
	}
	_, stderr, _ = sign(t, "url", "--file", write(t, "x={hash.append(\"S3cr3t\")\n\t.encodeMd6(\"S3cr3t\").printDigest();}"))
	const second = `linkrelay: template, line 2, column 3: encodeMd6(): there is no such method; did you mean encodeMd5()?
  �.*********("******").printDigest();}
    ^
`
	if stderr != second {
		t.Errorf("%swant\n%s", stderr, second)
	}
}

func TestSignURLIsOneLine(t *testing.T) {
	for _, template := range []string{"https://h/\n?a=1", "x\x1b[31m", `{hash.appendNewLine().printDigest();}`} {
		if stdout, stderr, code := sign(t, "url", template); stdout != "" || code != 1 || !strings.Contains(stderr, "is no URL") {
			t.Errorf("%q: exit %d, %q, %q", template, code, stdout, stderr)
		}
	}
}

func TestSignUsage(t *testing.T) {
	file, device := credentials(t), signature.NewKeyID(signature.KindDevice)
	secret := write(t, vectorSecret)
	request := func(more ...string) []string { return append([]string{"request", "--credentials", file}, more...) }
	tests := map[string]struct {
		args   []string
		stderr string
	}{
		"no template":               {[]string{"url"}, "takes one template"},
		"two templates":             {[]string{"url", "a", "b"}, "takes one template"},
		"template and file":         {[]string{"url", "a", "--file", file}, "takes one template"},
		"file that is not there":    {[]string{"url", "--file", file + "x"}, "no such file"},
		"template too long":         {[]string{"url", "--file", write(t, strings.Repeat("x", 100_000))}, "more than 81920 bytes"},
		"time":                      {[]string{"url", "a", "--at", "now"}, "--at must be unix seconds"},
		"time in milliseconds":      {[]string{"url", "a", "--at", vectorTime + "000"}, "--at must be unix seconds"},
		"no URL":                    {request(), "--url is missing"},
		"URL with a space":          {request("--url", "/a b"), "percent-encode it"},
		"URL beyond ASCII":          {request("--url", "/é"), "percent-encode it"},
		"fragment":                  {request("--url", "/a#b"), "leave out #"},
		"user":                      {request("--url", "https://u:p@h/"), "without user name and password"},
		"no host":                   {request("--url", "https:///a"), "must name a host"},
		"relative":                  {request("--url", "api/links"), "must begin with http://, https:// or"},
		"method":                    {request("--url", "/", "--method", "get"), "--method must be a method in capital letters"},
		"two bodies":                {request("--url", "/", "--body", "a", "--body-file", file), "leave one out"},
		"two inputs":                {[]string{"request", "--url", "/", "--key", vectorKey, "--secret-file", "-", "--body-file", "-"}, "only one of the files"},
		"scheme":                    {request("--url", "/", "--scheme", "hmac"), "--scheme must be"},
		"foreign flag":              {request("--url", "/", "--row-id", "1"), "--row-id is not for --scheme link-peeler"},
		"foreign body":              {request("--url", "/", "--scheme", "signed-query", "--body", "{}"), "--body is not for --scheme signed-query"},
		"v1 under iklim":            {request("--url", "/", "--scheme", "iklim", "--v1"), "--v1 is not for --scheme iklim"},
		"v1 elsewhere":              {request("--url", "/api/links/quota", "--v1"), "--v1 signs POST /api/links/fetch only"},
		"URL good for too long":     {request("--url", "/", "--scheme", "signed-query", "--expires-in", "11m"), "--expires-in must be between 1s and 10m0s"},
		"curl of a path":            {request("--url", "/a", "--curl"), "--curl needs the whole URL"},
		"nonce":                     {request("--url", "/a", "--nonce", "short"), "X-Link-Peeler-Nonce must be 16 to 128 characters"},
		"UUID":                      {request("--url", "/a", "--scheme", "iklim", "--nonce", vectorNonce), "X-Nonce must be a UUID of version 4"},
		"key that is no UUID":       {request("--url", "/a", "--scheme", "iklim", "--body", `{"idempotencyKey":"order-1"}`), "X-Idempotency-Key must be a UUID"},
		"raw |":                     {request("--url", "/a|b", "--scheme", "iklim"), "percent-encode it as %7C"},
		"job without its values":    {request("--url", "/api/links/fetch?source=s", "--scheme", "signed-query"), "this --url creates a job"},
		"signed already":            {request("--url", "/a?Expires=1", "--scheme", "signed-query"), "Expires must be sent exactly once"},
		"no key":                    {[]string{"request", "--url", "/", "--secret-file", secret}, "the key id is missing"},
		"no secret":                 {[]string{"request", "--url", "/", "--key", vectorKey}, "there is no secret"},
		"both":                      {request("--url", "/", "--key", vectorKey), "leave out --key"},
		"mistyped key":              {[]string{"request", "--url", "/", "--key", vectorKey[:29] + "m", "--secret-file", secret}, "the key id was never issued"},
		"secret as key":             {[]string{"request", "--url", "/", "--key", signature.NewSecret(), "--secret-file", secret}, "the key id is a secret"},
		"key as secret":             {[]string{"request", "--url", "/", "--key", device, "--secret-file", write(t, device+"\n")}, "the secret is a key id"},
		"secret cut off":            {[]string{"request", "--url", "/", "--key", device, "--secret-file", write(t, vectorSecret[:50])}, "the secret was never issued"},
		"secret in quotes":          {[]string{"request", "--url", "/", "--key", device, "--secret-file", write(t, `"`+vectorSecret+`"`)}, "the secret has white space, quotes or a byte order mark around it"},
		"secret with two breaks":    {[]string{"request", "--url", "/", "--key", device, "--secret-file", write(t, vectorSecret+"\n\n")}, "the secret has white space, quotes or a byte order mark around it"},
		"credentials are no JSON":   {[]string{"request", "--url", "/", "--credentials", secret}, "holds no credentials"},
		"credentials without one":   {[]string{"request", "--url", "/", "--credentials", write(t, `{"key":"x"}`)}, "holds no credentials"},
		"header without its colon":  {[]string{"check", "--url", "/", "--credentials", file, "-H", "Accept: x", "-H", "S3cr3t"}, "header 2 is not of the form Name: value"},
		"header with a broken name": {[]string{"check", "--url", "/", "--credentials", file, "-H", "My S3cr3t: x"}, "header 1 is not of the form Name: value"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("LINKRELAY_SECRET", "")
			stdout, stderr, code := sign(t, tt.args...)
			remedy := "\n  remedy: see linkrelay sign " + tt.args[0] + " --help\n"
			if code != 2 || stdout != "" || !strings.Contains(stderr, tt.stderr) || !strings.HasSuffix(stderr, remedy) {
				t.Errorf("sign %q: exit %d, stdout %q, stderr %q; want exit 2 and …%s…", tt.args, code, stdout, stderr, tt.stderr)
			}
		})
	}
}

// No flag takes a secret: others on the machine can read command lines.
func TestNoSecretFlag(t *testing.T) {
	for _, command := range []string{"url", "request", "check"} {
		stdout, _, code := sign(t, command, "--help")
		if code != 0 || !strings.Contains(stdout, "Examples:") || strings.Contains(stdout, "--secret ") {
			t.Errorf("exit %d, %s", code, stdout)
		}
	}
}
