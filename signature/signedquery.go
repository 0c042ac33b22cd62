package signature

import (
	"encoding/base64"
	"net/url"
	"slices"
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

// QueryJob are the values of a job that a signed query creates, decoded. None
// may hold control characters: with a line break inside a value two jobs could
// have one base string. Verify does not look for them; its caller refuses such
// a request, and one that repeats a parameter, of which Verify reads the first.
type QueryJob struct{ IdempotencyKey, TrackingURL, Source, RowID string }

// jobParams are the parameters of QueryJob's fields, in the order of signing.
var jobParams = [4]string{"idempotencyKey", "trackingUrl", "source", "rowId"}

func (j *QueryJob) fields() [len(jobParams)]*string {
	return [...]*string{&j.IdempotencyKey, &j.TrackingURL, &j.Source, &j.RowID}
}

// ParseSignedQuery reads the three parameters of scheme signed-query from the
// query of a request target. The error is the first of: a parameter that is
// missing, one given twice (Signature and signedAuthentication are one), one
// that is not percent-encoded, one that is malformed, each in the order
// AccessID, Expires, Signature. A space inside the signature is read as the plus
// sign that it was before decoding.
func ParseSignedQuery(target string) (Proof, *HeaderError) {
	values, broken := signingValues(target)
	if err := presence(values, signingParams); err != nil {
		err.Header, err.Parameter = "", err.Header
		return Proof{}, err
	}
	malformed := func(param, form string) (Proof, *HeaderError) {
		return Proof{}, &HeaderError{Kind: Malformed, Parameter: param, Reason: form}
	}
	for _, param := range signingParams {
		if broken[param.name] {
			return malformed(param.name, escapeForm)
		}
	}
	p := Proof{Scheme: SchemeSignedQuery, KeyID: values[ParamKey][0], RawTimestamp: values[ParamExpires][0]}
	sent := strings.ReplaceAll(values[ParamSignature][0], " ", "+")
	switch {
	case !within(p.KeyID, 1, maxKeyID, isVisible):
		return malformed(ParamKey, keyForm)
	case isMilliseconds(p.RawTimestamp):
		return malformed(ParamExpires, expiresMillisecondsForm)
	case !isSeconds(p.RawTimestamp):
		return malformed(ParamExpires, expiresForm)
	case !p.addQueryMAC(sent):
		return malformed(ParamSignature, macReason(querySignatureForm, sent))
	}
	p.Timestamp = time.Unix(digits(p.RawTimestamp), 0).UTC()
	return p, nil
}

// signingValues returns the decoded values of each signing parameter, by its
// first name, and which of them could not be decoded.
func signingValues(target string) (values map[string][]string, broken map[string]bool) {
	values, broken = map[string][]string{}, map[string]bool{}
	eachParam(target, func(name, raw string) {
		if !IsSigningParam(name) {
			return
		}
		if name == ParamSignatureAlias {
			name = ParamSignature
		}
		value, err := url.QueryUnescape(raw)
		if err != nil {
			value, broken[name] = raw, true
		}
		values[name] = append(values[name], value)
	})
	return values, broken
}

// ReadQuery returns the three parameters, encoded, that sign a reading call
// until expires (whole seconds, at most MaxQueryAhead from now), to be appended
// to its query.
func (s Signer) ReadQuery(expires time.Time) string {
	timestamp := unixSeconds(expires)
	return s.query(timestamp, appendReadBase(nil, s.KeyID, timestamp))
}

// CreateQuery returns the whole query, encoded, that creates a job when sent to
// /api/links/fetch before expires. See QueryJob for what its values may hold.
func (s Signer) CreateQuery(expires time.Time, j QueryJob) string {
	timestamp, query := unixSeconds(expires), ""
	for i, field := range j.fields() {
		query += jobParams[i] + "=" + url.QueryEscape(*field) + "&"
	}
	return query + s.query(timestamp, appendCreateBase(nil, s.KeyID, timestamp, j))
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
	for _, field := range j.fields() {
		b = append(append(b, '\n'), *field...)
	}
	return b
}

// queryJob returns the job's values in a query, the first of each name, and ""
// for one that cannot be decoded.
func queryJob(target string) (j QueryJob) {
	raw, _ := rawJob(target)
	for i, field := range j.fields() {
		*field, _ = url.QueryUnescape(raw[i])
	}
	return j
}

// rawJob returns a job's values as sent, in the order of jobParams, and the
// order in which they were sent.
func rawJob(target string) (raw [len(jobParams)]string, order []int) {
	eachParam(target, func(name, value string) {
		i := slices.Index(jobParams[:], name)
		if i >= 0 && !slices.Contains(order, i) {
			raw[i], order = value, append(order, i)
		}
	})
	return raw, order
}

func carriesSignedQuery(target string) bool {
	found := false
	eachParam(target, func(name, _ string) { found = found || IsSigningParam(name) && name != ParamExpires })
	return found
}

// eachParam yields the parameters of a target's query in their order: the name
// decoded, the value as sent. One whose name cannot be decoded is none that
// anybody asks for.
func eachParam(target string, yield func(name, raw string)) {
	_, query, _ := strings.Cut(target, "?")
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, raw, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(name); err == nil {
			yield(name, raw)
		}
	}
}
