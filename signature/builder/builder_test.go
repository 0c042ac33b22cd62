package builder_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"linkrelay/signature"
	"linkrelay/signature/builder"
)

var now = time.Unix(1735689600, 0)

// render renders a template that is right.
func render(t *testing.T, template string) string {
	t.Helper()
	parsed, err := builder.Parse(template)
	if err != nil {
		t.Fatalf("%s\n%v", template, err)
	}
	text, err := parsed.Render(now)
	if err != nil {
		t.Fatalf("%s\n%v", template, err)
	}
	return text
}

// openssl pipes data through an openssl command.
func openssl(t *testing.T, data string, args ...string) string {
	t.Helper()
	return pipe(t, data, "openssl", args...)
}

func pipe(t *testing.T, data, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdin = strings.NewReader(data)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v %s", program, args, err, errs.String())
	}
	return string(out)
}

// urlEncoded is the URL encoding of HTML forms, by another program.
func urlEncoded(t *testing.T, text string) string {
	t.Helper()
	const script = `process.stdout.write(new URLSearchParams([["", require("fs").readFileSync(0, "utf8")]]).toString().slice(1))`
	return pipe(t, text, "node", "-e", script)
}

// The seed's example, as the seed writes it, against openssl.
func TestMoz(t *testing.T) {
	const template = `http://lsapi.seomoz.com/linkscape/url-metrics/moz.com%2fblog?Cols=4&AccessID=mozscape-b6838361ee&Expires={hash.getExpiryTime(240);}&signedAuthentication={hash.append("mozscape-a1b2c3d4e5").appendNewLine().append(hash.getExpiryTime(240)).encodeHmacSha1("0123456789abcdef0123456789abcdef").encodeBase64().encodeURL().printDigest();}`
	mac := openssl(t, "mozscape-a1b2c3d4e5\n1735689840", "dgst", "-sha1", "-hmac", "0123456789abcdef0123456789abcdef", "-binary")
	encoded := openssl(t, mac, "base64", "-A")
	want := "http://lsapi.seomoz.com/linkscape/url-metrics/moz.com%2fblog?Cols=4&AccessID=mozscape-b6838361ee&Expires=1735689840&signedAuthentication=" + urlEncoded(t, encoded)
	if got := render(t, template); got != want {
		t.Errorf("rendered %s\nwant     %s", got, want)
	}
}

// The steps of the seed's other example, the space that it writes before a
// parenthesis included.
func TestSeed(t *testing.T) {
	expiring := "17356898400123456789a1b2c3d4e5f6"
	tests := []struct{ template, want string }{
		{`https://api.sample.com/version/endpoint?parameter=value&expiryTime={hash.getExpiryTime(300);}`,
			"https://api.sample.com/version/endpoint?parameter=value&expiryTime=1735689900"},
		{`https://api.ExampleOnly.com/v1/data?parameter1=value1&signedAuthentication={hash.append(hash.getExpiryTime(240)).append("0123456789").append("a1b2c3d4e5f6").encodeMd5().toHex().printDigest();}`,
			"https://api.ExampleOnly.com/v1/data?parameter1=value1&signedAuthentication=" + strings.Fields(openssl(t, expiring, "dgst", "-md5", "-r"))[0]},
		{`{hash.append("beforeNewLine").appendNewLine().append("afterNewLine").printDigest();}`, "beforeNewLine\nafterNewLine"},
		{`{hash.append("x").encodeHmacSha256 ("secretKey").toHex().printDigest();}`,
			strings.Fields(openssl(t, "x", "dgst", "-sha256", "-hmac", "secretKey", "-r"))[0]},
	}
	for _, tt := range tests {
		if got := render(t, tt.template); got != tt.want {
			t.Errorf("%s\nrendered %q\nwant     %q", tt.template, got, tt.want)
		}
	}
}

// Every encoding against openssl, over text that is not only ASCII.
func TestEncodings(t *testing.T) {
	const data, key = `AccessID ä/+&"\~*`, "schlüssel"
	quotedData := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(data) + `"`
	digests := map[string][]string{
		`encodeMd5()`: {"-md5"}, `encodeSha1()`: {"-sha1"},
		`encodeHmacSha1("` + key + `")`: {"-sha1", "-hmac", key}, `encodeHmacSha256("` + key + `")`: {"-sha256", "-hmac", key},
	}
	for method, args := range digests {
		raw := openssl(t, data, append([]string{"dgst", "-binary"}, args...)...)
		for encode, want := range map[string]string{
			"toHex()":                    fmt.Sprintf("%x", raw),
			"encodeBase64()":             openssl(t, raw, "base64", "-A"),
			"encodeBase64().encodeURL()": urlEncoded(t, openssl(t, raw, "base64", "-A")),
		} {
			template := "{hash.append(" + quotedData + ")." + method + "." + encode + ".printDigest();}"
			if got := render(t, template); got != want {
				t.Errorf("%s: %s, want %s", template, got, want)
			}
		}
	}
	for encode, want := range map[string]string{
		"toHex()": fmt.Sprintf("%x", data), "encodeBase64()": openssl(t, data, "base64", "-A"), "encodeURL()": urlEncoded(t, data),
	} {
		if got := render(t, "{hash.append("+quotedData+")."+encode+".printDigest();}"); got != want {
			t.Errorf("%s of text: %s, want %s", encode, got, want)
		}
	}
}

// encodeURL of every ASCII character, the control characters that quotes can
// hold included, and of some beyond.
func TestEncodeURL(t *testing.T) {
	var all strings.Builder
	for c := range 128 {
		if c != '\n' && c != '\r' && c != '"' && c != '\\' {
			all.WriteByte(byte(c))
		}
	}
	all.WriteString("é€😀\u2028")
	if got, want := render(t, `{hash.append("`+all.String()+`").encodeURL().printDigest();}`), urlEncoded(t, all.String()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := render(t, `{hash.append(" *-._~+").encodeURL().printDigest();}`); got != "+*-._%7E%2B" { // Java's URLEncoder
		t.Errorf("%s", got)
	}
}

// What follows an encoding goes on from its result.
func TestChains(t *testing.T) {
	md5 := func(data string) string { return openssl(t, data, "dgst", "-md5", "-binary") }
	sha1 := func(data string) string { return openssl(t, data, "dgst", "-sha1", "-binary") }
	hmac := func(data, key string) string { return openssl(t, data, "dgst", "-sha256", "-hmac", key, "-binary") }
	hex := func(data string) string { return fmt.Sprintf("%x", data) }
	tests := map[string]string{
		`append("a").encodeMd5().toHex().append("x").encodeSha1().toHex()`:                            hex(sha1(hex(md5("a")) + "x")),
		`append("a").encodeMd5().append("x").encodeSha1().toHex()`:                                    hex(sha1(md5("a") + "x")),
		`append("a").encodeMd5().appendNewLine().toHex()`:                                             hex(md5("a") + "\n"),
		`append("a").encodeMd5().encodeMd5().encodeMd5().toHex()`:                                     hex(md5(md5(md5("a")))),
		`append("a").encodeHmacSha256("k").encodeHmacSha256("l").encodeBase64()`:                      base64.StdEncoding.EncodeToString([]byte(hmac(hmac("a", "k"), "l"))),
		`append("a").toHex().toHex().encodeBase64().encodeBase64()`:                                   base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte(hex(hex("a")))))),
		`append("a b").encodeURL().encodeURL()`:                                                       "a%2Bb",
		`append("").encodeMd5().toHex()`:                                                              hex(md5("")),
		`appendNewLine().append(hash.getExpiryTime(000000000)).append(hash.getExpiryTime(999999999))`: "\n17356896002735689599",
	}
	for chain, want := range tests {
		if got := render(t, "{hash."+chain+".printDigest();}"); got != want {
			t.Errorf("%s: %q, want %q", chain, got, want)
		}
	}
}

func TestText(t *testing.T) {
	tests := map[string]string{
		"":                                "",
		"https://x/?a=%7B%7d&b=\n\t\x00ü": "https://x/?a=%7B%7d&b=\n\t\x00ü",
		"hash.append(\"x\");":             "hash.append(\"x\");", // no expression without braces
		"a{hash.getExpiryTime(1);}{hash.getExpiryTime(1);}b{hash.append(\"c\").printDigest();}": "a17356896011735689601bc",
		"{\n  hash\t. append ( \"a b\" )\r\n  . printDigest ( ) ;\n}\n":                         "a b\n",
		`{hash.append(hash . getExpiryTime ( 5 ) ).printDigest();}`:                             "1735689605",
		`{hash.append("{\"a\":\"}\\\\\"};//").printDigest();}`:                                  `{"a":"}\\"};//`,
	}
	for template, want := range tests {
		if got := render(t, template); got != want {
			t.Errorf("%q: %q, want %q", template, got, want)
		}
	}
}

// One template, many renderings: each has the clock that it is given.
func TestRenderAgain(t *testing.T) {
	parsed, err := builder.Parse(`{hash.getExpiryTime(10);}-{hash.append(hash.getExpiryTime(10)).printDigest();}`)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Time]string{
		now: "1735689610-1735689610", now.Add(time.Second - 1): "1735689610-1735689610", now.Add(time.Second): "1735689611-1735689611",
		time.Unix(-20, 0): "-10--10",
	} {
		if got, err := parsed.Render(at); got != want || err != nil {
			t.Errorf("at %v: %q, %v; want %q", at, got, err, want)
		}
	}
	if printed := fmt.Sprintf("%v %+v %s %#v", parsed, parsed, parsed, parsed); strings.Contains(printed, "hash") {
		t.Errorf("a template shows what is in it: %s", printed)
	}
}

// A template over linkrelay's own scheme makes what linkrelay verifies.
func TestSignedQuery(t *testing.T) {
	key, secret := signature.NewKeyID(signature.KindLive), signature.NewSecret()
	for _, encode := range []string{`encodeHmacSha256("%[2]s").encodeBase64().encodeURL()`, `encodeHmacSha256("%[2]s").toHex()`, `encodeHmacSha1("%[2]s").encodeBase64().encodeURL()`} {
		template := fmt.Sprintf(`/api/links/quota?AccessID=%[1]s&Expires={hash.getExpiryTime(300);}&signedAuthentication={hash.append("%[1]s").appendNewLine().append(hash.getExpiryTime(300)).`+encode+`.printDigest();}`, key, secret)
		target := render(t, template)
		p, fault := signature.ParseSignedQuery(target)
		if fault != nil {
			t.Fatalf("%s: %v", target, fault)
		}
		if p.KeyID != key || !p.Fresh(now, 0) || p.Verify([]string{secret}, "GET", target, nil) != 0 {
			t.Errorf("%s does not verify", target)
		}
		if p.Verify([]string{signature.NewSecret()}, "GET", target, nil) != -1 {
			t.Errorf("%s verifies under another secret", target)
		}
	}
}

// The one that creates a job signs the decoded values.
func TestSignedQueryCreates(t *testing.T) {
	key, secret := signature.NewKeyID(signature.KindLive), signature.NewSecret()
	field := func(name, value string) string {
		return name + `={hash.append("` + value + `").encodeURL().printDigest();}&`
	}
	const tracking = "https://example.com/c?a=1&b=ü x"
	template := `/api/links/fetch?` + field("idempotencyKey", "order 1") + field("trackingUrl", tracking) + field("source", "s&t") + field("rowId", "r+1") +
		`AccessID=` + key + `&Expires={hash.getExpiryTime(60);}&Signature={hash.append("` + key + `").appendNewLine().append(hash.getExpiryTime(60)).appendNewLine().
			append("order 1").appendNewLine().append("` + tracking + `").appendNewLine().append("s&t").appendNewLine().append("r+1").
			encodeHmacSha256("` + secret + `").encodeBase64().encodeURL().printDigest();}`
	target := render(t, template)
	p, fault := signature.ParseSignedQuery(target)
	if fault != nil {
		t.Fatalf("%s: %v", target, fault)
	}
	p.Creates = true
	if p.Verify([]string{secret}, "GET", target, nil) != 0 {
		t.Errorf("%s does not verify", target)
	}
}
