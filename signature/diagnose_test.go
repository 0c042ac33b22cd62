package signature_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"linkrelay/signature"
)

// wrong is one entry of testdata/diagnosis.json: a request as a script with a
// common mistake makes it.
type wrong struct {
	Name         string           `json:"name"`
	Scheme       signature.Scheme `json:"scheme"`
	Mistake      string           `json:"mistake"`
	Sentence     string           `json:"sentence"`
	Offline      bool             `json:"offline"`
	Why          string           `json:"why"`
	Algorithm    string           `json:"algorithm"`
	Creates      bool             `json:"creates"`
	KeyID        string           `json:"keyId"`
	Secret       string           `json:"secret"`
	Method       string           `json:"method"`
	Host         string           `json:"host"`
	Target       string           `json:"target"`
	Body         string           `json:"body"`
	Headers      http.Header      `json:"headers"`
	Signed       string           `json:"signed"`
	SignedBase64 []byte           `json:"signedBase64"`
	HMACKeyHex   *string          `json:"hmacKeyHex"`
}

func (w *wrong) proof(t testing.TB) *signature.Proof {
	t.Helper()
	p, fault := signature.Parse(w.Headers, w.Target)
	if fault != nil || p.Scheme != w.Scheme {
		t.Fatalf("%s: scheme %s, fault %v", w.Name, p.Scheme, fault)
	}
	p.Creates, p.Host = w.Creates, w.Host
	return &p
}

func (w *wrong) diagnose(t testing.TB, secrets ...string) string {
	t.Helper()
	return w.proof(t).Diagnose(secrets, w.Method, w.Target, []byte(w.Body))
}

func wrongs(t testing.TB) []wrong {
	t.Helper()
	var file struct {
		Format   int     `json:"format"`
		Mistakes []wrong `json:"mistakes"`
	}
	readJSON(t, "diagnosis.json", &file)
	if file.Format != 1 {
		t.Fatal(file.Format)
	}
	return file.Mistakes
}

// Each mistake yields its sentence, to whoever holds the secret and to nobody
// else.
func TestDiagnosis(t *testing.T) {
	other := signature.NewSecret()
	for _, w := range wrongs(t) {
		t.Run(w.Name, func(t *testing.T) {
			verified, rightly := w.proof(t).Verify([]string{w.Secret}, w.Method, w.Target, []byte(w.Body)), w.Mistake == "sha1-not-allowed"
			if rightly != (verified == 0) {
				t.Fatalf("verified: %d", verified)
			}
			online := w.Sentence
			if w.Offline {
				online = ""
			}
			for _, secrets := range [][]string{{w.Secret}, {w.Secret, other}, {other, w.Secret}, {other, other, w.Secret}} {
				if got := w.diagnose(t, secrets...); got != online {
					t.Errorf("%d secrets: said %q, want %q", len(secrets), got, online)
				}
			}
			if got := w.proof(t).DiagnoseOffline(w.Secret, w.Method, w.Target, []byte(w.Body)); got != w.Sentence {
				t.Errorf("offline: said %q, want %q", got, w.Sentence)
			}
			for _, secrets := range [][]string{nil, {other}, {other, other, other}, {other, other, other, w.Secret}, {""}, {signature.Decoy}} {
				if got := w.diagnose(t, secrets...); got != "" {
					t.Errorf("without the secret: said %q", got)
				}
			}
			if got := w.proof(t).DiagnoseOffline(other, w.Method, w.Target, []byte(w.Body)); got != "" && !w.Offline {
				t.Errorf("offline with another secret: said %q", got)
			}
		})
	}
}

// What is right is no mistake.
func TestNothingIsSaidOfRightRequests(t *testing.T) {
	eachVector(t, valid, func(t *testing.T, _ signature.Scheme, v *vector) {
		p, _ := signature.Parse(v.Headers, v.Target)
		p.Creates = v.Creates
		if got := p.Diagnose([]string{v.Secret}, v.Method, v.Target, v.body()); got != "" && !p.SHA1 {
			t.Errorf("said %q", got)
		}
	})
}

// The list and the published examples belong together, and OpenSSL made of
// each example's text what its request presents.
func TestMistakesForm(t *testing.T) {
	shown := map[string]bool{}
	for _, w := range wrongs(t) {
		i := slices.IndexFunc(signature.Mistakes, func(m signature.Mistake) bool { return m.Name == w.Mistake })
		if shown["name "+w.Name] || w.Why == "" || i < 0 || signature.Mistakes[i].Sentence != w.Sentence {
			t.Errorf("%s: needs a name of its own, a reason, a mistake and its sentence", w.Name)
			continue
		}
		shown["name "+w.Name], shown[w.Mistake+" under "+string(w.Scheme)] = true, true
		key := []byte(w.Secret)
		if w.HMACKeyHex != nil {
			key, _ = hex.DecodeString(*w.HMACKeyHex)
		}
		mac, _ := hex.DecodeString(openSSL(t, w.Algorithm, key, append([]byte(w.Signed), w.SignedBase64...)))
		sent := fmt.Sprint(w.Headers) + strings.NewReplacer("%2B", "+", "%2F", "/", "%3D", "=").Replace(w.Target)
		forms := []string{hex.EncodeToString(mac), base64.StdEncoding.EncodeToString(mac), base64.RawURLEncoding.EncodeToString(mac)}
		if !slices.ContainsFunc(forms, func(form string) bool { return strings.Contains(sent, form) }) {
			t.Errorf("%s: openssl makes %x of it, and that was not sent", w.Name, mac)
		}
	}
	names, sentences := map[string]bool{}, map[string]bool{}
	for _, m := range signature.Mistakes {
		for _, scheme := range m.Schemes {
			if !shown[m.Name+" under "+string(scheme)] {
				t.Errorf("%s: no example under %s", m.Name, scheme)
			}
		}
		if names[m.Name] || sentences[m.Sentence] || !strings.HasSuffix(m.Sentence, ".") || strings.Count(m.Sentence, ". ") > 0 || len(m.Sentence) > 220 {
			t.Errorf("%s: needs a name and one short sentence of its own", m.Name)
		}
		names[m.Name], sentences[m.Sentence] = true, true
	}
}

// However many secrets the key has, and whatever matches, the same HMACs are
// computed: of the same lengths, in the same order.
func TestDiagnosisDoesTheSameWork(t *testing.T) {
	requests := wrongs(t)
	for _, scheme := range schemes {
		for _, v := range vectors(t, scheme) {
			if v.Code == "signature_invalid" {
				requests = append(requests, wrong{Name: v.Name, Scheme: scheme, Creates: v.Creates, Secret: v.Secret, Method: v.Method, Target: v.Target, Body: string(v.body()), Headers: v.Headers})
			}
		}
	}
	for _, w := range requests {
		p := w.proof(t)
		work := func(secrets ...string) []signature.HMAC {
			return signature.CountHMACs(func() {
				p.Verify(secrets, w.Method, w.Target, []byte(w.Body))
				p.Diagnose(secrets, w.Method, w.Target, []byte(w.Body))
			})
		}
		unknown := work()
		if len(unknown) < 15*signature.MaxSecrets || len(unknown) > 52*signature.MaxSecrets {
			t.Errorf("%s: %d HMACs", w.Name, len(unknown))
		}
		a, b, c := signature.NewSecret(), signature.NewSecret(), signature.NewSecret()
		for name, secrets := range map[string][]string{"one": {a}, "two": {a, b}, "three": {a, b, c}, "its own": {w.Secret}, "its own last": {a, b, w.Secret}} {
			if w.Mistake == "sha1-not-allowed" && strings.HasPrefix(name, "its own") {
				continue // verifies
			}
			if did := work(secrets...); !slices.Equal(did, unknown) {
				t.Errorf("%s: %s secrets: %d HMACs, unknown key %d, or others", w.Name, name, len(did), len(unknown))
			}
		}
	}
}

// publicKeys are HMAC keys that a stranger can think of.
func publicKeys(keyID string) []string {
	keys := []string{
		"", keyID, signature.Decoy, "lps_", "secret", "undefined", "null", "None", "\n", "\r\n", `""`, "''", "\x00",
		"lps_\n", "lps", "\x96\x9b", "\x96\x9b\x2d", "\x96\x9b\x3f", "Y\xcf", strings.Repeat("0", 53), strings.Repeat("\x00", 39),
	}
	keys = append(keys, signature.WrongKeys("")...)
	keys = append(keys, signature.WrongKeys("lps_")...)
	keys = append(keys, signature.WrongKeys(keyID)...)
	keys = append(keys, signature.WrongKeys(signature.Decoy)...)
	slices.Sort(keys)
	return slices.Compact(keys)
}

// A stranger who knows the key id and this source code signs every text that
// the diagnosis tries, under every key that he can think of, and the other way
// round; he is told nothing.
func TestStrangersAreToldNothing(t *testing.T) {
	shapes := map[string]bool{}
	for _, w := range wrongs(t) {
		shape := fmt.Sprint(w.Scheme, w.Creates, len(w.Headers[signature.HeaderSignature]) > 0 && strings.HasPrefix(w.Headers[signature.HeaderSignature][0], "v2="))
		if shapes[shape] {
			continue // of each sort of request, one
		}
		shapes[shape] = true
		p := w.proof(t)
		for _, text := range p.Texts(w.Method, w.Target, []byte(w.Body)) {
			for keys := range slices.Chunk(publicKeys(w.KeyID), 2) {
				var macs [][]byte
				for _, key := range keys {
					macs = append(macs, hmacOf(key, string(text)), hmacOf(string(text), key))
				}
				secrets := []string{w.Secret}
				if slices.Contains(keys, signature.Decoy) {
					secrets = nil // the key of an unknown key id
				}
				if said := p.WithMACs(macs...).Diagnose(secrets, w.Method, w.Target, []byte(w.Body)); said != "" {
					t.Fatalf("%s: keys %q, text %q: told %q", w.Name, keys, text, said)
				}
			}
		}
	}
}

// Of a secret that NewSecret did not make, nobody knows how much of it a wrong
// decoder keeps; so nothing is said, to its owner neither.
func TestUnissuedSecretsAreNotDiagnosed(t *testing.T) {
	for _, secret := range []string{
		"", "s", strings.Repeat("_", 53), strings.Repeat("!", 53), "lps_" + strings.Repeat("A", 49), strings.Repeat("A", 64), signature.Decoy,
		signer.Secret + "x", strings.ToUpper(signer.Secret),
	} {
		p := parse(t, signer.V2(at, nonce, "GET", target, nil))
		for _, text := range p.Texts("GET", target, nil) {
			for keys := range slices.Chunk(append(signature.WrongKeys(secret), secret), 4) {
				var macs [][]byte
				for _, key := range keys {
					macs = append(macs, hmacOf(key, string(text)))
				}
				if said := p.WithMACs(macs...).Diagnose([]string{secret}, "GET", target, nil); said != "" {
					t.Fatalf("secret %q, keys %q: said %q", secret, keys, said)
				}
			}
		}
	}
}

// The wrong keys are what the programs make of a secret that are said to.
func TestWrongKeysAreThoseOfRealPrograms(t *testing.T) {
	const secret = "lps_thisSecretIsPublishedAndMustNeverSignForRea3DUFt2"
	keys := signature.WrongKeys(secret)
	for name, command := range map[string][]string{
		"perl":   {"perl", "-e", "print pack('H*', $ARGV[0])", secret},
		"node":   {"node", "-e", "process.stdout.write(Buffer.from(process.argv[1], 'base64'))", secret},
		"php":    {"php", "-r", "echo base64_decode($argv[1]);", secret},
		"python": {"python3", "-c", "import base64, sys; sys.stdout.buffer.write(base64.b64decode(sys.argv[1]))", secret},
		"after":  {"node", "-e", "process.stdout.write(Buffer.from(process.argv[1].slice(4), 'base64'))", secret},
	} {
		if made := run(t, "", command...); !slices.Contains(keys, made) || len(made) < 16 {
			t.Errorf("%s makes %x (%d bytes), which is not tried", name, made, len(made))
		}
	}
	for _, command := range [][]string{ // why hex is tried as Perl reads it only
		{"node", "-e", "process.stdout.write(Buffer.from(process.argv[1], 'hex'))", secret},
		{"php", "-r", "echo @hex2bin($argv[1]);", secret},
	} {
		if made := run(t, "", command...); made != "" {
			t.Errorf("%v makes %x", command[0], made)
		}
	}
}

// The rewritings of a JSON document are what the programs write that are said to.
func TestRewritingsAreThoseOfRealPrograms(t *testing.T) {
	const document = "{ \"b\":[1, -20.5 ,true,false,null,[],{}],\"a\":\"\\u00fc\u00fc \\\"\\\\ \\/ \\b\\f\\n\\r\\t\\u0001\\u001f\x7f\u0080 \u00e9\",\"B\":\"\U0001f350\",\"ab\":{\"z\":\"\",\"y\":1234567890}}"
	made := signature.Rewritings(document)
	const python = "import json, sys; sys.stdout.write(json.dumps(json.load(sys.stdin), %s))"
	for name, command := range map[string][]string{
		"json.dumps":             {"python3", "-c", fmt.Sprintf(python, "")},
		"ensure_ascii=False":     {"python3", "-c", fmt.Sprintf(python, "ensure_ascii=False")},
		"sort_keys=True":         {"python3", "-c", fmt.Sprintf(python, "sort_keys=True")},
		"sorted, compact":        {"python3", "-c", fmt.Sprintf(python, "sort_keys=True, separators=(',', ':')")},
		"sorted, compact, UTF-8": {"python3", "-c", fmt.Sprintf(python, "sort_keys=True, separators=(',', ':'), ensure_ascii=False")},
		"JSON.stringify":         {"node", "-e", "process.stdout.write(JSON.stringify(JSON.parse(require('fs').readFileSync(0, 'utf8'))))"},
		"json_encode":            {"php", "-r", "echo json_encode(json_decode(file_get_contents('php://stdin')));"},
	} {
		if text := run(t, document, command...); !slices.Contains(made, text) {
			t.Errorf("%s writes %s, which is not in\n%s", name, text, strings.Join(made, "\n"))
		}
	}
	for _, refused := range []string{"", "[]", "null", `"x"`, "{", `{} {}`, `{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "}", `{"a":[` + strings.Repeat("0,", 600) + "0]}"} {
		if signature.Rewritings(refused) != nil {
			t.Errorf("%.20q is rewritten", refused)
		}
	}
}

func hmacOf(key, text string) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// run returns what a program writes.
func run(t *testing.T, stdin string, command ...string) string {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s must be installed to run this test: %v", command[0], err)
	}
	return string(out)
}
