package signature

import (
	"encoding/base64"
	"net/url"
	"strings"
	"time"
)

// The parameters of scheme signed-query (CONTRACT §2).
const (
	ParamKey            = "AccessID"
	ParamExpires        = "Expires"
	ParamSignature      = "Signature"
	ParamSignatureAlias = "signedAuthentication"
)

// MaxQueryAhead is how far ahead Expires may be.
const MaxQueryAhead = 600 * time.Second

const (
	expiresForm             = "must be when the request expires as unix seconds, exactly 10 digits"
	expiresMillisecondsForm = expiresForm + "; 13 digits look like milliseconds"
	querySignatureForm      = "must be base64 or hex of an HMAC-SHA256 (or HMAC-SHA1, where the key allows it), percent-encoded"
	escapeForm              = "is not percent-encoded correctly"
)

// signingParams are the parameters that carry the proof, not the request.
var signingParams = []headerForm{
	{ParamKey, keyForm},
	{ParamExpires, expiresForm},
	{ParamSignature, querySignatureForm},
}

// IsSigningParam reports whether a query parameter belongs to scheme
// signed-query itself.
func IsSigningParam(name string) bool {
	return name == ParamKey || name == ParamExpires || name == ParamSignature || name == ParamSignatureAlias
}

// QueryJob are the values of a job that a signed query creates, decoded.
type QueryJob struct{ IdempotencyKey, TrackingURL, Source, RowID string }

// ParseSignedQuery reads the three parameters of scheme signed-query from the
// query of a request target. The error is the first of: a parameter that is
// missing, one given twice (Signature and signedAuthentication are one), one
// that is malformed, each in the order AccessID, Expires, Signature. A space
// inside the signature is read as the plus sign that it was before decoding.
func ParseSignedQuery(target string) (Proof, *HeaderError) {
	var values [3]string
	var seen [3]int
	bad := -1
	eachParam(target, func(name, value string, err error) {
		i := signingIndex(name)
		if i < 0 {
			return
		}
		seen[i]++
		values[i] = value
		if err != nil && bad < 0 {
			bad = i
		}
	})
	fault := func(kind HeaderFault, i int, reason string) (Proof, *HeaderError) {
		return Proof{}, &HeaderError{Kind: kind, Parameter: signingParams[i].name, Reason: reason}
	}
	for i, v := range values {
		if seen[i] == 0 || v == "" && bad != i {
			return fault(Missing, i, signingParams[i].form)
		}
	}
	for i, n := range seen {
		if n > 1 {
			return fault(Duplicated, i, onceForm)
		}
	}
	p := Proof{Scheme: SchemeSignedQuery, KeyID: values[0], RawTimestamp: values[1]}
	switch {
	case bad >= 0:
		return fault(Malformed, bad, escapeForm)
	case !within(p.KeyID, 1, maxKeyID, isVisible):
		return fault(Malformed, 0, keyForm)
	case within(p.RawTimestamp, 13, 13, isDigit):
		return fault(Malformed, 1, expiresMillisecondsForm)
	case !within(p.RawTimestamp, timestampLen, timestampLen, isDigit):
		return fault(Malformed, 1, expiresForm)
	case !p.addQueryMAC(strings.ReplaceAll(values[2], " ", "+")):
		return fault(Malformed, 2, querySignatureForm)
	}
	p.Timestamp = time.Unix(digits(p.RawTimestamp), 0).UTC()
	return p, nil
}

// addQueryMAC takes hex or base64 of 32 or 20 bytes: the lengths of the four
// forms differ, so a text has one meaning at most.
func (p *Proof) addQueryMAC(text string) bool {
	d := &p.macs[0]
	p.count = 1
	if decodeHex(d[:], text) || decodeBase64(d[:], text) {
		return true
	}
	p.SHA1 = true
	return decodeHex(d[:sha1Size], text) || decodeBase64(d[:sha1Size], text)
}

// ReadQuery returns the three parameters, encoded, that sign a reading call
// until expires (whole seconds, at most MaxQueryAhead from now), to be appended
// to its query.
func (s Signer) ReadQuery(expires time.Time) string {
	timestamp := unixSeconds(expires)
	return s.query(timestamp, appendReadBase(nil, s.KeyID, timestamp))
}

// CreateQuery returns the whole query, encoded, that creates a job when sent to
// /api/links/fetch before expires. The values must hold no control characters.
func (s Signer) CreateQuery(expires time.Time, j QueryJob) string {
	timestamp := unixSeconds(expires)
	q := ""
	for _, v := range [...][2]string{{"idempotencyKey", j.IdempotencyKey}, {"trackingUrl", j.TrackingURL}, {"source", j.Source}, {"rowId", j.RowID}} {
		q += v[0] + "=" + url.QueryEscape(v[1]) + "&"
	}
	return q + s.query(timestamp, appendCreateBase(nil, s.KeyID, timestamp, j))
}

func (s Signer) query(timestamp string, base []byte) string {
	work := scratch{head: base}
	work.authenticate(s.Secret, nil)
	return ParamKey + "=" + url.QueryEscape(s.KeyID) + "&" + ParamExpires + "=" + timestamp + "&" +
		ParamSignature + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(work.sum[:]))
}

func appendReadBase(b []byte, keyID, expires string) []byte {
	b = append(append(b, keyID...), '\n')
	return append(b, expires...)
}

func appendCreateBase(b []byte, keyID, expires string, j QueryJob) []byte {
	b = appendReadBase(b, keyID, expires)
	for _, v := range [...]string{j.IdempotencyKey, j.TrackingURL, j.Source, j.RowID} {
		b = append(append(b, '\n'), v...)
	}
	return b
}

// queryJob returns the job's values in a query, the first of each name. What is
// repeated or holds control characters the caller of Verify refuses: with a
// line break inside a value two requests could have one base string.
func queryJob(target string) (j QueryJob) {
	into := map[string]*string{"idempotencyKey": &j.IdempotencyKey, "trackingUrl": &j.TrackingURL, "source": &j.Source, "rowId": &j.RowID}
	eachParam(target, func(name, value string, _ error) {
		if v := into[name]; v != nil {
			*v = value
			delete(into, name)
		}
	})
	return j
}

func carriesSignedQuery(target string) bool {
	found := false
	eachParam(target, func(name, _ string, _ error) { found = found || IsSigningParam(name) && name != ParamExpires })
	return found
}

func signingIndex(name string) int {
	for i := range signingParams {
		if name == signingParams[i].name {
			return i
		}
	}
	if name == ParamSignatureAlias {
		return len(signingParams) - 1
	}
	return -1
}

// eachParam yields the decoded parameters of a target's query in their order.
// err says that the value could not be decoded.
func eachParam(target string, yield func(name, value string, err error)) {
	_, query, _ := strings.Cut(target, "?")
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil || pair == "" {
			continue // no parameter that anybody asks for
		}
		value, err = url.QueryUnescape(value)
		yield(name, value, err)
	}
}
