package signature

// Mistake is one common way to sign wrongly.
type Mistake struct {
	Name     string   // stable and unique
	Schemes  []Scheme // under which it is looked for
	Sentence string   // what Diagnose says: what was signed, and what to do instead
	Offline  bool     // only DiagnoseOffline says it: anybody could sign in this way, so it proves nothing
}

// mistake is an index of Mistakes.
type mistake int

const (
	signatureBase64 mistake = iota
	sha1NotAllowed

	timestampMilliseconds
	timestampSeconds
	expiresMilliseconds
	dotsMissing
	pipesMissing
	finalSeparator
	v1SentAsV2
	v2SentAsV1
	nonceMissing
	nonceFirst
	iklimBase
	linkPeelerBase
	timestampAndBody
	queryBase
	bodyOnly

	pathWithoutQuery
	wholeURL
	targetDecoded
	methodLowerCase

	bodyMissing
	bodyNotSent
	bodyTrimmed
	lineBreakAtEnd
	bodyLineEnds
	bodyIndented
	bodyCompact
	bodySpaced
	bodySorted
	bodyEscaped

	readingBase
	creatingBase
	lineBreaksMissing
	lineBreaksAsText
	lineBreaksCRLF
	valuesEncoded
	valuesInQueryOrder
	valuesMissing
	expiresFirst

	argumentsSwapped
	secretHexDecoded
	secretBase64Decoded
	secretLineBreak
	secretQuoted
	secretPadded
	secretWithoutPrefix

	secretEmpty
	keyIDAsSecret

	noMistake mistake = -1
)

func (m mistake) sentence() string {
	if m == noMistake {
		return ""
	}
	return Mistakes[m].Sentence
}

var (
	everyScheme = []Scheme{SchemeLinkPeeler, SchemeIklim, SchemeSignedQuery}
	withHeaders = []Scheme{SchemeLinkPeeler, SchemeIklim}
	linkPeeler  = []Scheme{SchemeLinkPeeler}
	iklim       = []Scheme{SchemeIklim}
	signedQuery = []Scheme{SchemeSignedQuery}
)

const (
	asLinkPeeler = "sign timestamp.nonce.METHOD.path?query.body (v1: timestamp.nonce.body)."
	asIklim      = "sign METHOD|path?query|timestamp|body."
	asCreating   = "sign AccessID, Expires, idempotencyKey, trackingUrl, source and rowId, a line each."
	asSent       = "sign the bytes that are sent, or send the bytes that were signed."
	asText       = "the key is the secret's own text, lps_ included."
)

// Mistakes is everything that Diagnose and DiagnoseOffline can say. Every
// sentence is a constant: it holds nothing of the request or the secret.
var Mistakes = []Mistake{
	signatureBase64: {"signature-in-base64", withHeaders, "The signature is right but was sent in base64: send the same bytes as hex digits.", false},
	sha1NotAllowed:  {"sha1-not-allowed", signedQuery, "The signature is an HMAC-SHA1, and this key was created without allowSha1: sign with HMAC-SHA256.", false},

	timestampMilliseconds: {"timestamp-in-milliseconds", linkPeeler, "The timestamp was signed in milliseconds: sign the ten digits that X-Link-Peeler-Timestamp carries.", false},
	timestampSeconds:      {"timestamp-in-seconds", iklim, "The timestamp was signed in seconds: sign the thirteen digits that X-Timestamp carries.", false},
	expiresMilliseconds:   {"expires-in-milliseconds", signedQuery, "Expires was signed in milliseconds: sign the ten digits that the parameter carries.", false},
	dotsMissing:           {"dots-missing", linkPeeler, "The parts were signed with nothing or line breaks between them instead of dots: " + asLinkPeeler, false},
	pipesMissing:          {"pipes-missing", iklim, "The parts were signed with nothing or line breaks between them instead of |: " + asIklim, false},
	finalSeparator:        {"final-separator-missing", withHeaders, "The separator before the empty body was not signed: the base string ends with it when there is no body.", false},
	v1SentAsV2:            {"v1-sent-as-v2", linkPeeler, "The base string of v1 was signed, but the value was sent as v2=: sign timestamp.nonce.METHOD.path?query.body.", false},
	v2SentAsV1:            {"v2-sent-as-v1", linkPeeler, "The base string of v2 was signed, but the value was sent without its prefix: send v2= and the same hex digits.", false},
	nonceMissing:          {"nonce-missing", linkPeeler, "The nonce was not signed: " + asLinkPeeler, false},
	nonceFirst:            {"nonce-before-timestamp", linkPeeler, "The nonce was signed before the timestamp: " + asLinkPeeler, false},
	iklimBase:             {"iklim-base", linkPeeler, "The base string of scheme iklim was signed, but the headers are those of link-peeler: " + asLinkPeeler, false},
	linkPeelerBase:        {"link-peeler-base", iklim, "The base string of scheme link-peeler was signed, but the headers are those of iklim: " + asIklim, false},
	timestampAndBody:      {"timestamp-and-body-only", iklim, "Only timestamp.body was signed: " + asIklim, false},
	queryBase:             {"signed-query-base", withHeaders, "Key id and timestamp were signed on two lines, as for scheme signed-query: sign the base string of the scheme whose headers are sent.", false},
	bodyOnly:              {"body-only", withHeaders, "Only the body was signed: sign the scheme's whole base string, in which timestamp and more stand before the body.", false},

	pathWithoutQuery: {"path-without-query", withHeaders, "The path was signed without its query: sign path and query exactly as in the request line.", false},
	wholeURL:         {"whole-url", withHeaders, "The whole URL was signed: sign path and query only, exactly as in the request line, without scheme and host.", false},
	targetDecoded:    {"target-decoded", withHeaders, "Path or query was signed decoded: sign them with their percent-escapes, exactly as in the request line.", false},
	methodLowerCase:  {"method-in-lower-case", withHeaders, "The method was signed in lower case: sign it in upper case, as in the request line.", false},

	bodyMissing:    {"body-missing", withHeaders, "The base string was signed without the body: put the body's bytes, exactly as they are sent, at its end.", false},
	bodyNotSent:    {"body-not-sent", withHeaders, "A body such as {} or null was signed, but none was sent: sign an empty one.", false},
	bodyTrimmed:    {"body-trimmed", withHeaders, "The body was signed without the white space around it that was sent: " + asSent, false},
	lineBreakAtEnd: {"line-break-at-end", everyScheme, "A line break was signed at the end that was not sent: leave it out (printf '%s' instead of echo), or send it as well (curl --data-binary instead of -d).", false},
	bodyLineEnds:   {"body-line-ends", withHeaders, "The body was signed with other line ends (LF, or CR LF as on Windows) than it was sent with: " + asSent, false},
	bodyIndented:   {"body-indented", withHeaders, "The body was signed indented, over several lines, which is not what was sent: send it as it is (curl --data-binary instead of -d), or sign the bytes that are sent.", false},
	bodyCompact:    {"body-compact", withHeaders, "The body was serialised twice, and signed as compact JSON, which is not what was sent: " + asSent, false},
	bodySpaced:     {"body-spaced", withHeaders, "The body was serialised twice, and signed with spaces after : and , (as Python's json.dumps writes), which is not what was sent: " + asSent, false},
	bodySorted:     {"body-sorted", withHeaders, "The body was serialised twice, and signed with its names sorted, which is not what was sent: " + asSent, false},
	bodyEscaped:    {"body-escaped", withHeaders, `The body was serialised twice, and signed with \/ and \u escapes (as PHP's json_encode writes), which is not what was sent: ` + asSent, false},

	readingBase:        {"reading-base", signedQuery, "Only AccessID and Expires were signed, as for reading, but this call creates a job: " + asCreating, false},
	creatingBase:       {"creating-base", signedQuery, "A job's values were signed, as for creating, but this call reads: sign AccessID and Expires, a line each.", false},
	lineBreaksMissing:  {"line-breaks-missing", signedQuery, "The values were signed with nothing between them: put one line break (byte 0A) between them, and none at the end.", false},
	lineBreaksAsText:   {"line-breaks-as-text", signedQuery, `A backslash and an n were signed between the values: sign a real line break (byte 0A), which PHP makes of "\n" in double quotes, and a shell with printf.`, false},
	lineBreaksCRLF:     {"line-breaks-crlf", signedQuery, "The lines were signed with CR LF between them: sign a single line break (byte 0A).", false},
	valuesEncoded:      {"values-encoded", signedQuery, "The values were signed percent-encoded, as in the URL: sign them decoded, and encode them only for the URL.", false},
	valuesInQueryOrder: {"values-in-query-order", signedQuery, "The values were signed in the order of the URL: " + asCreating, false},
	valuesMissing:      {"values-missing", signedQuery, "One of a job's values was left out: send all of idempotencyKey, trackingUrl, source and rowId, and " + asCreating, false},
	expiresFirst:       {"expires-first", signedQuery, "Expires was signed before AccessID: AccessID is the first line, Expires the second.", false},

	argumentsSwapped:    {"arguments-swapped", everyScheme, "The base string was the HMAC's key, and the secret its message: swap the two arguments.", false},
	secretHexDecoded:    {"secret-hex-decoded", everyScheme, "The secret was hex-decoded: " + asText, false},
	secretBase64Decoded: {"secret-base64-decoded", everyScheme, "The secret was base64-decoded: " + asText, false},
	secretLineBreak:     {"secret-with-line-break", everyScheme, "The secret was used with the line break that followed it in a file: " + asText, false},
	secretQuoted:        {"secret-with-quotes", everyScheme, "The secret was used with the quotes around it: " + asText, false},
	secretPadded:        {"secret-with-space", everyScheme, "The secret was used with a space or a byte order mark next to it: " + asText, false},
	secretWithoutPrefix: {"secret-without-prefix", everyScheme, "The secret was used without its first four characters: " + asText, false},

	secretEmpty:   {"secret-empty", everyScheme, "The HMAC's key was empty (a variable that is not set, or a secret that was hex-decoded to nothing): " + asText, true},
	keyIDAsSecret: {"key-id-as-secret", everyScheme, "The key id was the HMAC's key: sign with the secret, which begins with lps_.", true},
}
