package command

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"linkrelay/config"
	"linkrelay/relay"
	"linkrelay/signature"
)

// verdict is the outcome of one check.
type verdict string

const (
	fine  verdict = "ok"
	wrong verdict = "wrong"
	note  verdict = "note" // not wrong, and worth knowing
	open  verdict = "open" // cannot be told yet
)

// finding is what one check found.
type finding struct {
	Check   string  `json:"check"`
	Verdict verdict `json:"verdict"`
	Text    string  `json:"text"`
}

// doctor examines one signed request.
type doctor struct {
	message
	header http.Header
	key    signingKey
	now    time.Time

	proof    signature.Proof
	findings []finding
	base     string // what has to be signed, when that was not what was signed
}

func (d *doctor) found(check string, v verdict, format string, args ...any) {
	d.findings = append(d.findings, finding{check, v, fmt.Sprintf(format, args...)})
}

func (d *doctor) good() bool {
	for _, f := range d.findings {
		if f.Verdict == wrong {
			return false
		}
	}
	return true
}

// examine runs every check that the ones before leave possible.
func (d *doctor) examine() error {
	settings, err := config.Defaults()
	if err != nil {
		return err
	}
	proof, fault := signature.Parse(d.header, d.target)
	if fault != nil {
		d.found("headers", wrong, "%s%s is %s: it %s", fault.Header, fault.Parameter, fault.Kind, fault.Reason)
	} else {
		d.found("headers", fine, "%s, complete and well-formed", schemeName(proof))
	}
	d.proof = proof
	d.proof.Creates = proof.Scheme == signature.SchemeSignedQuery && createsJob(d.target)
	d.proof.Host = d.host()
	d.examineKey(fault == nil)
	if fault != nil {
		return nil
	}
	d.examineTime(settings.MaxSkew)
	if d.examineSignature() {
		return d.examineRest()
	}
	d.found("request", open, "not looked at: what the relay checks next needs a signature that matches")
	return nil
}

// host is where the request went, as far as is known.
func (d *doctor) host() string {
	if whole, err := url.Parse(d.url); err == nil { // has no host when only the path was given
		return cmp.Or(d.header.Get("Host"), whole.Host)
	}
	return d.header.Get("Host")
}

// createsJob reports whether a signed query to this target has to cover the
// values of a job.
func createsJob(target string) bool {
	path, _, _ := strings.Cut(target, "?")
	return path == "/api/links/fetch" || path == "/api/links/verify"
}

// examineKey looks at the key id of the request, when it has one, and at what
// its owner holds.
func (d *doctor) examineKey(sent bool) {
	switch id := d.proof.KeyID; {
	case sent && keyIDFault(id) != "":
		d.found("key", wrong, "the key id that was sent %s", keyIDFault(id))
	case d.key.ID != "" && d.key.idFault() != "":
		d.found("key", wrong, "the key id of the credentials %s", d.key.idFault())
	case sent && d.key.ID != "" && d.key.ID != id:
		d.found("key", wrong, "the request says that it is of %s, and the credentials are those of %s", id, d.key.ID)
	case d.key.ExpiresAt != nil && !d.key.ExpiresAt.After(d.now):
		d.found("key", wrong, "the key expired at %s", cellText(d.key.ExpiresAt))
	case sent:
		d.found("key", fine, "%s has the form and the checksum of a key id", id)
	}
	switch fault := d.key.secretFault(); {
	case fault != "":
		d.found("secret", wrong, "the secret %s", fault)
	case d.key.lineBreak:
		d.found("secret", note, "has the form and the checksum of a secret, and a line break follows it in its file: a program that does not leave it out signs with a wrong key")
	default:
		d.found("secret", fine, "has the form and the checksum of a secret")
	}
}

// examineTime compares the time of the request with the clock.
func (d *doctor) examineTime(skew time.Duration) {
	v := fine
	if !d.proof.Fresh(d.now, skew) {
		v = wrong
	}
	age := d.now.Sub(d.proof.Timestamp).Round(time.Second)
	switch query := d.proof.Scheme == signature.SchemeSignedQuery; {
	case query && age > 0:
		d.found("time", v, "Expires passed %v ago", age)
	case query:
		d.found("time", v, "Expires is %v ahead, of at most %v", -age, signature.MaxQueryAhead)
	case age < 0:
		d.found("time", v, "signed %v in the future, of at most %v%s", -age, skew, zoneHint(-age))
	default:
		d.found("time", v, "signed %v ago, of at most %v%s", age, skew, zoneHint(age))
	}
}

// zoneHint recognises a difference that is a time zone's.
func zoneHint(d time.Duration) string {
	const zone, near, farthest = 30 * time.Minute, 90 * time.Second, 14 * time.Hour
	if off := d.Round(zone); off > 0 && off <= farthest && (d-off).Abs() <= near {
		return ": that is a time zone's difference, and unix time counts from 1970 in UTC"
	}
	return ""
}

// examineSignature reports whether the secret made the signature.
func (d *doctor) examineSignature() bool {
	if d.proof.Verify([]string{d.key.Secret}, d.method, d.target, d.body) == 0 {
		d.found("signature", fine, "matches")
		if d.proof.SHA1 && len(d.key.Schemes) == 0 {
			d.found("signature", note, "is an HMAC-SHA1, which only keys created with allowSha1 may use: --credentials says whether this one is")
		}
		return true
	}
	switch reason := d.proof.DiagnoseOffline(d.key.Secret, d.method, d.target, d.body); {
	case reason != "":
		d.found("signature", wrong, "%s", reason)
	case d.keyID() == "":
		d.found("signature", wrong, "It was made with another secret, or over other bytes than the relay will take.")
	default:
		d.found("signature", wrong, "It was made with another secret, or over other bytes than those below: compare them with what your program signs.")
		d.base = visible(d.proof.Base(d.method, d.target, d.body))
	}
	return false
}

// examineRest asks a relay in this process, which admits everything that it
// finds no fault with.
func (d *doctor) examineRest() error {
	refusal, err := d.rehearse()
	if err != nil {
		return err
	}
	if refusal == nil {
		d.found("request", fine, "passes the relay's other checks; only the relay knows the rest, such as whether secret and key belong together: POST /api/links/verify asks it")
		return nil
	}
	d.found("request", wrong, "%d %s: %s", refusal.Status, refusal.Code, refusalText(refusal))
	return nil
}

func refusalText(e *relay.Error) string {
	if len(e.Errors) == 0 {
		return cmp.Or(e.Diagnosis, e.Detail, e.Title)
	}
	var faults []string
	for _, f := range e.Errors {
		faults = append(faults, f.Pointer+" "+f.Reason)
	}
	return strings.Join(faults, "; ")
}

// keyID is the key id that was sent, when it is one: anything else may be a
// secret in the wrong place.
func (d *doctor) keyID() string {
	if keyIDFault(d.proof.KeyID) != "" {
		return ""
	}
	return d.proof.KeyID
}

// report is the JSON form of the findings.
func (d *doctor) report() any {
	return struct {
		Good     bool             `json:"good"`
		Scheme   signature.Scheme `json:"scheme,omitempty"`
		Key      string           `json:"key,omitempty"`
		Findings []finding        `json:"findings"`
		Base     string           `json:"base,omitempty"`
	}{d.good(), d.proof.Scheme, d.keyID(), d.findings, d.base}
}
