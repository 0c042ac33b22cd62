package signature_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"hash"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"linkrelay/signature"
)

// vector is one entry of a scheme's file in testdata; testdata/README.md
// documents the members.
type vector struct {
	Name           string       `json:"name"`
	Valid          bool         `json:"valid"`
	Why            string       `json:"why"`
	Code           string       `json:"code"`
	Header         string       `json:"header"`
	Parameter      string       `json:"parameter"`
	Version        string       `json:"version"`
	Creates        bool         `json:"creates"`
	Algorithm      string       `json:"algorithm"`
	KeyID          string       `json:"keyId"`
	Secret         string       `json:"secret"`
	Timestamp      string       `json:"timestamp"`
	Nonce          string       `json:"nonce"`
	IdempotencyKey string       `json:"idempotencyKey"`
	Job            *queryValues `json:"job"`
	Method         string       `json:"method"`
	Target         string       `json:"target"`
	Body           string       `json:"body"`
	BodyBase64     []byte       `json:"bodyBase64"`
	Headers        http.Header  `json:"headers"`
	Base           string       `json:"base"`
	BaseBase64     []byte       `json:"baseBase64"`
	Signature      string       `json:"signature"`
}

type queryValues struct {
	IdempotencyKey string `json:"idempotencyKey"`
	TrackingURL    string `json:"trackingUrl"`
	Source         string `json:"source"`
	RowID          string `json:"rowId"`
}

func (v *vector) body() []byte { return append([]byte(v.Body), v.BodyBase64...) } // one of them is empty
func (v *vector) base() []byte { return append([]byte(v.Base), v.BaseBase64...) }

// mac is the published signature, decoded.
func (v *vector) mac(t *testing.T) []byte {
	t.Helper()
	decode := hex.DecodeString
	if v.Algorithm != "" {
		decode = base64.StdEncoding.DecodeString
	}
	mac, err := decode(strings.TrimPrefix(v.Signature, "v2="))
	if err != nil {
		t.Fatal(err)
	}
	return mac
}

func readJSON(t testing.TB, name string, into any) {
	t.Helper()
	text, err := signature.Vectors.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

var schemes = []signature.Scheme{signature.SchemeLinkPeeler, signature.SchemeIklim, signature.SchemeSignedQuery}

func vectors(t testing.TB, scheme signature.Scheme) []vector {
	t.Helper()
	var file struct {
		Format  int              `json:"format"`
		Scheme  signature.Scheme `json:"scheme"`
		Vectors []vector         `json:"vectors"`
	}
	readJSON(t, string(scheme)+".json", &file)
	if file.Format != 1 || file.Scheme != scheme || len(file.Vectors) < 60 {
		t.Fatalf("format %d, scheme %q, %d vectors", file.Format, file.Scheme, len(file.Vectors))
	}
	return file.Vectors
}

// eachVector runs f on every vector of every scheme that is wanted.
func eachVector(t *testing.T, wanted func(*vector) bool, f func(*testing.T, signature.Scheme, *vector)) {
	t.Helper()
	for _, scheme := range schemes {
		for _, v := range vectors(t, scheme) {
			if wanted(&v) {
				t.Run(string(scheme)+"/"+v.Name, func(t *testing.T) { f(t, scheme, &v) })
			}
		}
	}
}

func all(*vector) bool     { return true }
func valid(v *vector) bool { return v.Valid }

// The verifier finds out the scheme, accepts exactly the valid vectors and tells
// the others' code.
func TestVectorsVerify(t *testing.T) {
	eachVector(t, all, func(t *testing.T, scheme signature.Scheme, v *vector) {
		if got := signature.Detect(v.Headers, v.Target); got != scheme {
			t.Fatalf("detected %s", got)
		}
		code, header, parameter := "", "", ""
		p, fault := signature.Parse(v.Headers, v.Target)
		p.Creates = v.Creates
		switch {
		case fault != nil:
			code, header, parameter = "header_"+string(fault.Kind), fault.Header, fault.Parameter
		case p.Verify([]string{v.Secret}, v.Method, v.Target, v.body()) != 0:
			code = "signature_invalid"
		default:
			if parameter = controlled(t, v); parameter != "" {
				code = "validation_failed"
			}
			if p.V1 != (v.Version == "v1") || p.SHA1 != (v.Algorithm == "hmac-sha1") {
				t.Errorf("V1 %v, SHA1 %v", p.V1, p.SHA1)
			}
		}
		if code != v.Code || header != v.Header || parameter != v.Parameter || v.Valid != (code == "") {
			t.Errorf("got code %q header %q parameter %q, want %q %q %q (valid %v: %s)", code, header, parameter, v.Code, v.Header, v.Parameter, v.Valid, v.Why)
		}
		if v.Valid && !bytes.Equal(p.Base(v.Method, v.Target, v.body()), v.base()) {
			t.Errorf("base %q, want %q", p.Base(v.Method, v.Target, v.body()), v.base())
		}
	})
}

// controlled returns the job's parameter that holds a control character: what
// the caller of Verify refuses, by net/url's reading of the query.
func controlled(t *testing.T, v *vector) string {
	t.Helper()
	if !v.Creates {
		return ""
	}
	u, err := url.ParseRequestURI(v.Target)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"idempotencyKey", "trackingUrl", "source", "rowId"} {
		if strings.ContainsFunc(u.Query().Get(name), unicode.IsControl) {
			return name
		}
	}
	return ""
}

// The signer makes the signature of every valid vector (but HMAC-SHA1, which it
// does not offer), and that is what HMAC over the published base string says.
func TestVectorsSign(t *testing.T) {
	eachVector(t, valid, func(t *testing.T, scheme signature.Scheme, v *vector) {
		algorithm := map[string]func() hash.Hash{"": sha256.New, "hmac-sha256": sha256.New, "hmac-sha1": sha1.New}[v.Algorithm]
		mac := hmac.New(algorithm, []byte(v.Secret))
		mac.Write(v.base())
		if !bytes.Equal(mac.Sum(nil), v.mac(t)) {
			t.Error("the published signature is not the HMAC of the published base string")
		}
		if v.Algorithm == "hmac-sha1" {
			return
		}
		signed := sign(t, scheme, v)
		want := map[string]string{"id": v.KeyID, "timestamp": v.Timestamp, "nonce": v.Nonce, "idempotency": v.IdempotencyKey, "signature": v.Signature}
		for what, got := range signed {
			if got != want[what] {
				t.Errorf("%s: signer made %q, want %q", what, got, want[what])
			}
		}
	})
}

// sign has our signer make the vector's headers or query, and returns the parts.
func sign(t *testing.T, scheme signature.Scheme, v *vector) map[string]string {
	t.Helper()
	n, err := strconv.ParseInt(v.Timestamp, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	signer := signature.Signer{KeyID: v.KeyID, Secret: v.Secret}
	if scheme == signature.SchemeSignedQuery {
		query := signer.ReadQuery(time.Unix(n, 0))
		if v.Creates {
			query = signer.CreateQuery(time.Unix(n, 0), signature.QueryJob(*v.Job))
		}
		values, err := url.ParseQuery(query)
		if err != nil || v.Creates != (values.Get("trackingUrl") != "") {
			t.Fatal(query, err)
		}
		return map[string]string{"id": values.Get("AccessID"), "timestamp": values.Get("Expires"), "signature": values.Get("Signature")}
	}
	if scheme == signature.SchemeIklim {
		h := signer.Iklim(time.UnixMilli(n), v.Nonce, v.IdempotencyKey, v.Method, v.Target, v.body())
		return map[string]string{
			"id": h.Get("X-Api-Key"), "timestamp": h.Get("X-Timestamp"), "nonce": h.Get("X-Nonce"),
			"idempotency": h.Get("X-Idempotency-Key"), "signature": h.Get("X-Signature"),
		}
	}
	h := signer.V1(time.Unix(n, 0), v.Nonce, v.body())
	if v.Version == "v2" {
		h = signer.V2(time.Unix(n, 0), v.Nonce, v.Method, v.Target, v.body())
	}
	if len(h) != 4 {
		t.Errorf("headers %v", h)
	}
	return map[string]string{
		"id": h.Get(signature.HeaderKey), "timestamp": h.Get(signature.HeaderTimestamp),
		"nonce": h.Get(signature.HeaderNonce), "signature": h.Get(signature.HeaderSignature),
	}
}

// OpenSSL, which shares no code with us, agrees on every valid vector.
func TestVectorsOpenSSL(t *testing.T) {
	eachVector(t, valid, func(t *testing.T, _ signature.Scheme, v *vector) {
		if got, want := openSSL(t, v.Algorithm, []byte(v.Secret), v.base()), hex.EncodeToString(v.mac(t)); got != want {
			t.Errorf("openssl says %s, the vector %s", got, want)
		}
	})
}

// openSSL returns the HMAC in hex: SHA-256 unless the algorithm is hmac-sha1.
func openSSL(t *testing.T, algorithm string, key, text []byte) string {
	t.Helper()
	digest := "-sha256"
	if algorithm == "hmac-sha1" {
		digest = "-sha1"
	}
	args := []string{"dgst", digest, "-r", "-mac", "HMAC", "-macopt", "hexkey:" + hex.EncodeToString(key)}
	if len(key) == 0 { // hexkey cannot be empty
		args = []string{"dgst", digest, "-r", "-hmac", ""}
	}
	cmd := exec.Command("openssl", args...)
	cmd.Stdin = bytes.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl must be installed to run this test: %v", err)
	}
	got, _, _ := strings.Cut(string(out), " ")
	return got
}

// The files keep what their README promises.
func TestVectorsForm(t *testing.T) {
	seen := map[string]bool{}
	eachVector(t, all, func(t *testing.T, scheme signature.Scheme, v *vector) {
		if name := string(scheme) + "/" + v.Name; seen[name] || v.Name == "" || v.Why == "" {
			t.Errorf("%q: needs a name of its own and a reason", v.Name)
		} else {
			seen[name] = true
		}
		if v.Valid != (v.Signature != "") || v.Valid != (len(v.base()) > 0) || v.Valid != (v.Code == "") {
			t.Error("base and signature belong to valid vectors, code to others")
		}
		if strings.HasPrefix(v.Code, "header_") != (v.Header+v.Parameter != "" && v.Code != "validation_failed") || v.Header != "" && v.Parameter != "" {
			t.Error("header or parameter belongs to the header codes, parameter to validation_failed")
		}
		if v.Body != "" && v.BodyBase64 != nil || v.Base != "" && v.BaseBase64 != nil {
			t.Error("text and base64 exclude each other")
		}
		if !signature.ValidSecret(v.Secret) {
			t.Error("the secret is not one")
		}
		query := scheme == signature.SchemeSignedQuery
		if (v.Version != "") != (scheme == signature.SchemeLinkPeeler) || (v.IdempotencyKey != "") != (scheme == signature.SchemeIklim) ||
			(v.Algorithm != "") != query || (v.Headers == nil) != query || (v.Nonce == "") != query || (v.Job != nil) != v.Creates || v.Creates && !query {
			t.Error("a member of another scheme, or one missing")
		}
		if v.Job != nil && v.Valid && signature.QueryJob(*v.Job) != signature.QueryJobOf(v.Target) {
			t.Errorf("job %+v is not that of the target", *v.Job)
		}
	})
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
	readJSON(t, "keys.json", &file)
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
