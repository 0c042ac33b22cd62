package command_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"linkrelay/internal/command"
	"linkrelay/signature"
)

// mac is the HMAC-SHA256 of a base string by openssl, in hex.
func mac(t *testing.T, base string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", "dgst", "-sha256", "-hmac", vectorSecret, "-r")
	cmd.Stdin = strings.NewReader(base)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))[0]
}

const (
	uuid1 = "0e4b8f6a-3c1d-4f7e-9b2a-5d6c7e8f9a0b"
	uuid2 = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
)

// What is printed under every scheme, for fixed inputs.
func TestSignRequest(t *testing.T) {
	body := "{\"a\":\"é\"}\n"
	bodyFile := write(t, body)
	tests := map[string]struct{ args, want string }{
		"link-peeler v2": {"--url https://h/api/links/fetch?x=1 --nonce " + vectorNonce + " --body-file " + bodyFile,
			"Content-Type: application/json\nX-Link-Peeler-Key: " + vectorKey + "\nX-Link-Peeler-Nonce: " + vectorNonce +
				"\nX-Link-Peeler-Signature: v2=" + mac(t, vectorTime+"."+vectorNonce+".POST./api/links/fetch?x=1."+body) + "\nX-Link-Peeler-Timestamp: " + vectorTime + "\n"},
		"link-peeler v1": {"--url /api/links/fetch --v1 --nonce " + vectorNonce + " --body-file " + bodyFile,
			"Content-Type: application/json\nX-Link-Peeler-Key: " + vectorKey + "\nX-Link-Peeler-Nonce: " + vectorNonce +
				"\nX-Link-Peeler-Signature: " + mac(t, vectorTime+"."+vectorNonce+"."+body) + "\nX-Link-Peeler-Timestamp: " + vectorTime + "\n"},
		"no body": {"--url /api/links/jobs/1 --method DELETE --nonce " + vectorNonce,
			"X-Link-Peeler-Key: " + vectorKey + "\nX-Link-Peeler-Nonce: " + vectorNonce +
				"\nX-Link-Peeler-Signature: v2=" + mac(t, vectorTime+"."+vectorNonce+".DELETE./api/links/jobs/1.") + "\nX-Link-Peeler-Timestamp: " + vectorTime + "\n"},
		"iklim": {"--scheme iklim --url https://h/api/links/fetch --nonce " + uuid1 + " --idempotency-key " + uuid2 + " --body-file " + bodyFile,
			"Content-Type: application/json\nX-Api-Key: " + vectorKey + "\nX-Idempotency-Key: " + uuid2 + "\nX-Nonce: " + uuid1 +
				"\nX-Signature: " + mac(t, "POST|/api/links/fetch|"+vectorTime+"000|"+body) + "\nX-Timestamp: " + vectorTime + "000\n"},
		"iklim with the body's key": {`--scheme iklim --url /api/links/fetch --nonce ` + uuid1 + ` --body {"idempotencyKey":"` + uuid2 + `"}`,
			"Content-Type: application/json\nX-Api-Key: " + vectorKey + "\nX-Idempotency-Key: " + uuid2 + "\nX-Nonce: " + uuid1 +
				"\nX-Signature: " + mac(t, "POST|/api/links/fetch|"+vectorTime+`000|{"idempotencyKey":"`+uuid2+`"}`) + "\nX-Timestamp: " + vectorTime + "000\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"request", "--credentials", credentials(t), "--at", vectorTime}, strings.Fields(tt.args)...)
			if stdout, stderr, code := sign(t, args...); stdout != tt.want || stderr != "" || code != 0 {
				t.Errorf("exit %d, %s\n%swant\n%s", code, stderr, stdout, tt.want)
			}
		})
	}
}

// A signed query is printed as the URL to use.
func TestSignRequestQuery(t *testing.T) {
	read := []string{"--url", "https://h/api/links/jobs?idempotencyKey=k%20"}
	create := []string{"--url", "https://h", "--expires-in", "1m", "--idempotency-key", "k 1", "--tracking-url", "https://é.example/?a=1&b=2", "--source", "s+t", "--row-id", "日"}
	for want, args := range map[string][]string{
		"https://h/api/links/jobs?idempotencyKey=k%20&AccessID=" + vectorKey + "&Expires=1735689900&Signature=":                                                                          read,
		"https://h?idempotencyKey=k+1&trackingUrl=https%3A%2F%2F%C3%A9.example%2F%3Fa%3D1%26b%3D2&source=s%2Bt&rowId=%E6%97%A5&AccessID=" + vectorKey + "&Expires=1735689660&Signature=": create,
	} {
		stdout, stderr, code := sign(t, append([]string{"request", "--scheme", "signed-query", "--credentials", credentials(t), "--at", vectorTime}, args...)...)
		if !strings.HasPrefix(stdout, want) || stderr != "" || code != 0 {
			t.Fatalf("exit %d, %s\n%swant %s…", code, stderr, stdout, want)
		}
		target := strings.TrimSuffix(strings.Replace(strings.TrimPrefix(stdout, "https://h"), "?", "/?", 1), "\n")
		p, fault := signature.ParseSignedQuery(target)
		p.Creates = len(args) > len(read)
		if fault != nil || p.Verify([]string{vectorSecret}, "GET", target, nil) != 0 {
			t.Errorf("%s does not verify", stdout)
		}
	}
	_, stderr, code := sign(t, "request", "--scheme", "signed-query", "--credentials", credentials(t), "--url", "/api/links/fetch", "--source", "s", "--row-id", "a\nb", "--tracking-url", "ftp://x", "--idempotency-key", "k")
	if code != 2 || !strings.Contains(stderr, "/trackingUrl must be an absolute http or https URL") || !strings.Contains(stderr, "/rowId must hold printable characters only") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// The secret comes from wherever it is kept.
func TestSignRequestSecret(t *testing.T) {
	for name, args := range map[string][]string{
		"file": {"--secret-file", write(t, vectorSecret)}, "file with a break": {"--secret-file", write(t, vectorSecret+"\r\n")},
		"standard input": {"--secret-file", "-"}, "variable": nil,
	} {
		t.Run(name, func(t *testing.T) {
			stdin(t, vectorSecret+"\n")
			t.Setenv("LINKRELAY_SECRET", "")
			if args == nil {
				t.Setenv("LINKRELAY_SECRET", vectorSecret)
			}
			stdout, stderr, code := sign(t, append([]string{"request", "--key", vectorKey, "--url", "/", "--at", vectorTime, "--nonce", vectorNonce}, args...)...)
			if !strings.Contains(stdout, "v2="+mac(t, vectorTime+"."+vectorNonce+".GET./.")) || code != 0 {
				t.Errorf("exit %d, %s%s", code, stdout, stderr)
			}
		})
	}
}

// Without fixed inputs every request is signed now, with what was never used.
func TestSignRequestIsFresh(t *testing.T) {
	for _, scheme := range []string{"link-peeler", "iklim"} {
		args := []string{"request", "--scheme", scheme, "--credentials", credentials(t), "--url", "/"}
		first, _, _ := sign(t, args...)
		second, _, code := sign(t, args...)
		a, b := strings.Split(first, "\n"), strings.Split(second, "\n")
		if code != 0 || len(a) < 5 || len(a) != len(b) {
			t.Fatalf("exit %d, %q, %q", code, a, b)
		}
		for i := range a {
			name, _, _ := strings.Cut(a[i], ":")
			if (strings.HasSuffix(name, "Nonce") || strings.HasSuffix(name, "Idempotency-Key")) && a[i] == b[i] {
				t.Errorf("twice %s", a[i])
			}
		}
	}
}

// verifier is a server that says whether what came is what was signed.
func verifier(t *testing.T) (url string, bodies chan []byte) {
	bodies = make(chan []byte, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- body
		p, fault := signature.Parse(r.Header, r.RequestURI)
		p.Creates = strings.HasPrefix(r.URL.Path, "/api/links/fetch") && p.Scheme == signature.SchemeSignedQuery
		if fault == nil && len(body) > 0 && r.Header.Get("Content-Type") != "application/json" {
			w.WriteHeader(http.StatusUnsupportedMediaType)
		}
		if fault != nil || p.Verify([]string{vectorSecret}, r.Method, r.RequestURI, body) != 0 {
			w.WriteHeader(http.StatusUnauthorized)
		}
		fmt.Fprintf(w, "%s %s", p.Scheme, r.Method)
	}))
	t.Cleanup(server.Close)
	return server.URL, bodies
}

// The printed command, run by sh, sends exactly what was signed.
func TestCurl(t *testing.T) {
	url, bodies := verifier(t)
	bodiesToSend := map[string]string{
		"JSON": `{"a":"b"}`, "quotes": `{"it's":"\"$HOME` + "`id`" + `\\!"}`, "line breaks": "{\n\n}\n", "carriage returns": "{\r\n\t}", "zero": "a\x00b",
		"at": "@/etc/hostname", "not UTF-8": "\xff\xfe'%s%d\\101", "printable beyond ASCII": "ü 日本", "invisible": "a\u200b\u00a0b", "space": " ", "percent": "%25%s", "empty": "",
	}
	for name, body := range bodiesToSend {
		for _, scheme := range []string{"link-peeler", "iklim"} {
			t.Run(name+" "+scheme, func(t *testing.T) {
				args := []string{"--scheme", scheme, "--url", url + "/api/links/fetch", "--body-file", write(t, body), "--method", "POST"}
				runCurl(t, scheme+" POST", args...)
				if got := <-bodies; string(got) != body {
					t.Errorf("sent %q, want %q", got, body)
				}
			})
		}
	}
	for _, path := range []string{"", "?x=1", "/a/../b/./c", "/a?b=[1-3]{x,y}&c='d'&e=%7c", "/a;b=$HOME&c=`id`", "/%2e%2e/%2F//x", "/\"<>\\^"} {
		t.Run(path, func(t *testing.T) {
			for _, scheme := range []string{"link-peeler", "iklim", "signed-query"} {
				runCurl(t, scheme+" GET", "--scheme", scheme, "--url", url+path)
				<-bodies
			}
		})
	}
	t.Run("creates", func(t *testing.T) {
		runCurl(t, "signed-query POST", "--scheme", "signed-query", "--method", "POST", "--url", url+"/api/links/fetch", "--source", "it's", "--row-id", "é +%", "--tracking-url", "https://x.example/?a='b'", "--idempotency-key", "k")
	})
}

// runCurl pastes what sign request --curl prints into a shell.
func runCurl(t *testing.T, want string, args ...string) {
	t.Helper()
	script, stderr, code := sign(t, append([]string{"request", "--curl", "--credentials", credentials(t)}, args...)...)
	if code != 0 {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-s")
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "CURL_HOME="+cmd.Dir) // no .curlrc
	cmd.Stdin = strings.NewReader(strings.Replace(script, "curl -sS", "curl -sS --fail-with-body", 1))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil || out.String() != want {
		t.Fatalf("%v, %q; want %q from\n%s", err, out.String(), want, script)
	}
}

// The printed headers are what curl -H @file takes.
func TestHeadersFile(t *testing.T) {
	url, _ := verifier(t)
	headers, stderr, code := sign(t, "request", "--credentials", credentials(t), "--url", url+"/api/links/fetch", "--body", "{}")
	if code != 0 {
		t.Fatal(stderr)
	}
	out, err := exec.CommandContext(t.Context(), "curl", "-q", "-sS", "--fail", "-H", "@"+write(t, headers), "--data-binary", "{}", url+"/api/links/fetch").CombinedOutput()
	if err != nil || string(out) != "link-peeler POST" {
		t.Errorf("%v, %s", err, out)
	}
}

func TestExplain(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"link-peeler": {[]string{"--url", "/api/links/fetch", "--nonce", vectorNonce, "--body", "{\"a\": \"é\u00a0\", \r\n \"b\":\t\"\x00\"}  \n"}, `Under link-peeler v2 these 85 bytes are signed:

  1735689600.n0nce-For_vectors-0001.POST./api/links/fetch.{"a": "é⟨C3 A9⟩⟨C2 A0⟩",␠␍␊
   "b":␉"␀"}␠␠␊

PART        BYTES  VALUE
timestamp   10     1735689600
nonce       22     n0nce-For_vectors-0001
method      4      POST
path?query  16     /api/links/fetch
body        29     {"a": "é⟨C3 A9⟩⟨C2 A0⟩",␠␍␊ "b":␉"␀"}␠␠␊

One dot stands between two parts, and nothing before or behind them. The signature is the HMAC-SHA256 of these
bytes, in hex; its key is the secret's own text, lps_ included.

␊ ␍ ␉ ␀ are a line feed, a carriage return, a tab and a zero byte, ␠ is a space at the end of a line, and ⟨…⟩
shows in hex the bytes of what is not ASCII or cannot be seen.

`},
		"iklim": {[]string{"--scheme", "iklim", "--url", "/api/links/quota"}, `Under iklim these 35 bytes are signed:

  GET|/api/links/quota|1735689600000|

PART        BYTES  VALUE
method      3      GET
path?query  16     /api/links/quota
timestamp   13     1735689600000
body        0      -

One | stands between two parts, and nothing before or behind them. The signature is the HMAC-SHA256 of these
bytes, in hex; its key is the secret's own text, lps_ included.

`},
		"signed-query": {[]string{"--scheme", "signed-query", "--url", "/api/links/quota"}, `Under signed-query these 41 bytes are signed:

  lp_live_Vect0rsOnlyKeyA115GEgn␊
  1735689900

PART      BYTES  VALUE
AccessID  30     lp_live_Vect0rsOnlyKeyA115GEgn
Expires   10     1735689900

One line feed (byte 0A) stands between two parts, and nothing before or behind them. The signature is the HMAC-SHA256 of these
bytes, in base64; its key is the secret's own text, lps_ included.

␊ ␍ ␉ ␀ are a line feed, a carriage return, a tab and a zero byte, ␠ is a space at the end of a line, and ⟨…⟩
shows in hex the bytes of what is not ASCII or cannot be seen.

`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"request", "--explain", "--credentials", credentials(t), "--at", vectorTime}, tt.args...)
			stdout, stderr, code := sign(t, args...)
			if code != 0 || stderr != tt.want {
				t.Errorf("exit %d, got\n%swant\n%s", code, stderr, tt.want)
			}
			if _, value, _ := strings.Cut(stdout, "ignature: "); value != "" && strings.Contains(stderr, strings.TrimPrefix(value[:20], "v2=")) {
				t.Error("the explanation shows the signature")
			}
		})
	}
}

// The parts, with their separator, are the base string.
func TestBaseParts(t *testing.T) {
	signer := signature.Signer{KeyID: vectorKey, Secret: vectorSecret}
	job := signature.QueryJob{IdempotencyKey: "k", TrackingURL: "https://x.example/?a b", Source: "s", RowID: "ü"}
	at, body := time.Unix(1735689600, 0), []byte("{}\n")
	query, create := "/q?"+signer.ReadQuery(at), "/q?"+signer.CreateQuery(at, job)
	for name, tt := range map[string]struct {
		header http.Header
		target string
	}{
		"v1": {signer.V1(at, vectorNonce, body), "/a"}, "v2": {signer.V2(at, vectorNonce, "POST", "/a", body), "/a"},
		"iklim": {signer.Iklim(at, uuid1, uuid2, "POST", "/a?b", body), "/a?b"}, "reads": {nil, query}, "creates": {nil, create},
	} {
		p, fault := signature.Parse(tt.header, tt.target)
		if fault != nil {
			t.Fatal(fault)
		}
		p.Creates = name == "creates"
		if joined, base := command.JoinedParts(p, "POST", tt.target, body, job), string(p.Base("POST", tt.target, body)); joined != base {
			t.Errorf("%s: %q, want %q", name, joined, base)
		}
	}
}

// What is shown of different bytes is different.
func FuzzVisible(f *testing.F) {
	f.Add([]byte("a \n b\r\n"), []byte("a\u2420\u240a\n b␍␊"))
	f.Add([]byte("⟨C3 A9⟩\xff�"), []byte("é\xc3"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if shown := command.Visible(a); !bytes.Equal(a, b) && shown == command.Visible(b) {
			t.Errorf("%q and %q are both shown as %q", a, b, shown)
		}
	})
}
