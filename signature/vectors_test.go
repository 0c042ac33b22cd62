package signature_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"linkrelay/signature"
)

// vector is one entry of testdata/link-peeler.json; testdata/README.md
// documents the members.
type vector struct {
	Name       string      `json:"name"`
	Valid      bool        `json:"valid"`
	Why        string      `json:"why"`
	Code       string      `json:"code"`
	Header     string      `json:"header"`
	Version    string      `json:"version"`
	KeyID      string      `json:"keyId"`
	Secret     string      `json:"secret"`
	Timestamp  string      `json:"timestamp"`
	Nonce      string      `json:"nonce"`
	Method     string      `json:"method"`
	Target     string      `json:"target"`
	Body       string      `json:"body"`
	BodyBase64 []byte      `json:"bodyBase64"`
	Headers    http.Header `json:"headers"`
	Base       string      `json:"base"`
	BaseBase64 []byte      `json:"baseBase64"`
	Signature  string      `json:"signature"`
}

func (v *vector) body() []byte { return append([]byte(v.Body), v.BodyBase64...) } // one of them is empty
func (v *vector) base() []byte { return append([]byte(v.Base), v.BaseBase64...) }

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func vectors(t *testing.T) []vector {
	t.Helper()
	var file struct {
		Format  int      `json:"format"`
		Scheme  string   `json:"scheme"`
		Vectors []vector `json:"vectors"`
	}
	readJSON(t, "testdata/link-peeler.json", &file)
	if file.Format != 1 || file.Scheme != "link-peeler" || len(file.Vectors) == 0 {
		t.Fatalf("format %d, scheme %q, %d vectors", file.Format, file.Scheme, len(file.Vectors))
	}
	return file.Vectors
}

// The verifier accepts exactly the valid vectors and tells the others' code.
func TestVectorsVerify(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			code, header := "", ""
			p, fault := signature.ParseLinkPeeler(v.Headers)
			switch {
			case fault != nil:
				code, header = "header_"+string(fault.Kind), fault.Header
			case p.Verify([]string{v.Secret}, v.Method, v.Target, v.body()) != 0:
				code = "signature_invalid"
			case p.V1 != (v.Version == "v1"):
				t.Errorf("V1 = %v for version %s", p.V1, v.Version)
			}
			if code != v.Code || header != v.Header || v.Valid != (code == "") {
				t.Errorf("got code %q header %q, want %q %q (valid %v: %s)", code, header, v.Code, v.Header, v.Valid, v.Why)
			}
		})
	}
}

// The signer makes the signature of every valid vector, and that is what
// HMAC-SHA256 over the published base string says.
func TestVectorsSign(t *testing.T) {
	for _, v := range vectors(t) {
		if !v.Valid {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			seconds, err := strconv.ParseInt(v.Timestamp, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			signer := signature.Signer{KeyID: v.KeyID, Secret: v.Secret}
			h, prefix := signer.V1(time.Unix(seconds, 0), v.Nonce, v.body()), ""
			if v.Version == "v2" {
				h, prefix = signer.V2(time.Unix(seconds, 0), v.Nonce, v.Method, v.Target, v.body()), "v2="
			}
			mac := hmac.New(sha256.New, []byte(v.Secret))
			mac.Write(v.base())
			if want := prefix + hex.EncodeToString(mac.Sum(nil)); v.Signature != want {
				t.Errorf("published signature is not the HMAC of the published base string")
			}
			if got := h.Get(signature.HeaderSignature); got != v.Signature {
				t.Errorf("signer made %s, want %s", got, v.Signature)
			}
			if h.Get(signature.HeaderKey) != v.KeyID || h.Get(signature.HeaderTimestamp) != v.Timestamp || h.Get(signature.HeaderNonce) != v.Nonce || len(h) != 4 {
				t.Errorf("headers %v", h)
			}
		})
	}
}

// OpenSSL, which shares no code with us, agrees on every valid vector.
func TestVectorsOpenSSL(t *testing.T) {
	for _, v := range vectors(t) {
		if !v.Valid {
			continue
		}
		cmd := exec.Command("openssl", "dgst", "-sha256", "-hmac", v.Secret, "-r")
		cmd.Stdin = bytes.NewReader(v.base())
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("openssl must be installed to run this test: %v", err)
		}
		got, _, _ := strings.Cut(string(out), " ")
		if want := strings.TrimPrefix(v.Signature, "v2="); got != want {
			t.Errorf("%s: openssl says %s, the vector %s", v.Name, got, want)
		}
	}
}

// The file keeps what its README promises.
func TestVectorsForm(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range vectors(t) {
		if seen[v.Name] || v.Name == "" || v.Why == "" {
			t.Errorf("%q: needs a name of its own and a reason", v.Name)
		}
		seen[v.Name] = true
		if v.Valid != (v.Signature != "") || v.Valid != (len(v.base()) > 0) || v.Valid != (v.Code == "") {
			t.Errorf("%s: base and signature belong to valid vectors, code to others", v.Name)
		}
		if strings.HasPrefix(v.Code, "header_") != (v.Header != "") {
			t.Errorf("%s: header belongs to the header codes", v.Name)
		}
		if v.Body != "" && v.BodyBase64 != nil || v.Base != "" && v.BaseBase64 != nil {
			t.Errorf("%s: text and base64 exclude each other", v.Name)
		}
		if !signature.ValidSecret(v.Secret) {
			t.Errorf("%s: the secret is not one", v.Name)
		}
	}
}

func TestKeyVectors(t *testing.T) {
	var file struct {
		Format   int    `json:"format"`
		Alphabet string `json:"alphabet"`
		Keys     []struct {
			Text  string `json:"text"`
			Kind  string `json:"kind"`
			Valid bool   `json:"valid"`
			Why   string `json:"why"`
		} `json:"keys"`
	}
	readJSON(t, "testdata/keys.json", &file)
	for _, k := range file.Keys {
		kind, ok := signature.ParseKeyID(k.Text)
		if k.Kind == "secret" {
			ok = signature.ValidSecret(k.Text)
		} else if ok && string(kind) != k.Kind {
			t.Errorf("%q: kind %q, want %q", k.Text, kind, k.Kind)
		}
		if ok != k.Valid {
			t.Errorf("%q: valid %v, want %v: %s", k.Text, ok, k.Valid, k.Why)
		}
	}
}
