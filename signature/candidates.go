package signature

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// candidates is the list of what a script may have signed instead of the base
// string. The order decides when two of them are the same bytes.
type candidates struct {
	head, body []byte // the base string, in two pieces
	list       []candidate
}

// candidates depends on the request only.
func (p *Proof) candidates(method, target string, body []byte) []candidate {
	c := candidates{head: p.appendHead(nil, method, target), body: p.covered(body)}
	if p.base64 != 0 {
		c.list = append(c.list, candidate{mistake: signatureBase64, head: c.head, rest: c.body})
	}
	if p.SHA1 {
		c.list = append(c.list, candidate{mistake: sha1NotAllowed, head: c.head, rest: c.body})
	}
	switch p.Scheme {
	case SchemeSignedQuery:
		c.signedQuery(p, target)
	case SchemeIklim:
		c.iklim(p, method, target)
		c.target(p, method, target)
		c.bodies()
	default:
		c.linkPeeler(p, method, target)
		c.target(p, method, target)
		c.bodies()
	}
	c.keys()
	return c.list
}

// offline is what DiagnoseOffline tries beyond that.
func (p *Proof) offline(method, target string, body []byte) (list []candidate) {
	head, rest := p.appendHead(nil, method, target), p.covered(body)
	if p.Scheme == SchemeLinkPeeler {
		late := *p
		for ms := range 1000 { // the header was rounded, what was signed was not
			late.RawTimestamp = fmt.Sprintf("%s%03d", p.RawTimestamp, ms)
			list = append(list, candidate{mistake: timestampMilliseconds, head: late.appendHead(nil, method, target), rest: rest})
		}
	}
	return append(list,
		candidate{mistake: secretEmpty, head: head, rest: rest, key: func(string) string { return "" }},
		candidate{mistake: keyIDAsSecret, head: head, rest: rest, key: func(string) string { return p.KeyID }})
}

// add adds a text that may have been signed, unless it is the right one (of a
// path without a query, for instance) or there already.
func (c *candidates) add(m mistake, head, rest []byte) {
	same := func(o candidate) bool { return bytes.Equal(o.head, head) && bytes.Equal(o.rest, rest) }
	if !same(candidate{head: c.head, rest: c.body}) && !slices.ContainsFunc(c.list, same) {
		c.list = append(c.list, candidate{mistake: m, head: head, rest: rest})
	}
}

func (c *candidates) linkPeeler(p *Proof, method, target string) {
	timestamp, nonce, line, as := p.RawTimestamp, p.Nonce, []string{method, target}, v1SentAsV2
	if p.V1 {
		line, as = nil, v2SentAsV1
	}
	parts := func(separator string, first ...string) []byte { return each(separator, append(first, line...)...) }
	other := *p
	other.V1 = !p.V1
	c.add(as, other.appendHead(nil, method, target), c.body)
	c.add(timestampMilliseconds, parts(".", timestamp+"000", nonce), c.body)
	c.add(dotsMissing, parts("", timestamp, nonce), c.body)
	c.add(dotsMissing, parts("\n", timestamp, nonce), c.body)
	c.add(nonceMissing, each(".", timestamp), c.body)
	c.add(nonceMissing, parts(".", timestamp), c.body)
	c.add(nonceFirst, parts(".", nonce, timestamp), c.body)
	c.add(iklimBase, appendIklimHead(nil, method, target, timestamp), c.body)
	c.add(queryBase, appendReadBase(nil, p.KeyID, timestamp), nil)
	c.add(bodyOnly, nil, c.body)
}

func (c *candidates) iklim(p *Proof, method, target string) {
	timestamp := p.RawTimestamp
	c.add(timestampSeconds, appendIklimHead(nil, method, target, timestamp[:secondsLen]), c.body)
	c.add(pipesMissing, each("", method, target, timestamp), c.body)
	c.add(pipesMissing, each("\n", method, target, timestamp), c.body)
	c.add(linkPeelerBase, appendV2Head(nil, timestamp, p.Nonce, method, target), c.body)
	c.add(linkPeelerBase, appendV1Head(nil, timestamp, p.Nonce), c.body)
	c.add(timestampAndBody, each(".", timestamp), c.body)
	c.add(queryBase, appendReadBase(nil, p.KeyID, timestamp), nil)
	c.add(bodyOnly, nil, c.body)
}

// target is what may go wrong with the first line of the request.
func (c *candidates) target(p *Proof, method, target string) {
	path, _, _ := strings.Cut(target, "?")
	c.add(pathWithoutQuery, p.appendHead(nil, method, path), c.body)
	for _, scheme := range []string{"https://", "http://"} {
		c.add(wholeURL, p.appendHead(nil, method, scheme+p.Host+target), c.body)
	}
	if decoded, err := url.PathUnescape(target); err == nil {
		c.add(targetDecoded, p.appendHead(nil, method, decoded), c.body)
	}
	c.add(methodLowerCase, p.appendHead(nil, strings.ToLower(method), target), c.body)
}

// unsentBodies are what scripts make of the body of a request that has none.
var unsentBodies = []string{"{}", "[]", "null", "undefined", "None"}

func (c *candidates) bodies() {
	if len(c.body) == 0 {
		c.add(finalSeparator, c.head[:len(c.head)-1], nil)
		for _, body := range unsentBodies {
			c.add(bodyNotSent, c.head, []byte(body))
		}
	}
	c.add(bodyMissing, c.head, nil)
	c.add(bodyTrimmed, c.head, bytes.TrimSpace(c.body))
	c.add(lineBreakAtEnd, c.head, append(slices.Clone(c.body), '\n'))
	c.add(lineBreakAtEnd, c.head, append(slices.Clone(c.body), "\r\n"...))
	unix := bytes.ReplaceAll(c.body, []byte("\r\n"), []byte("\n"))
	c.add(bodyLineEnds, c.head, unix)
	c.add(bodyLineEnds, c.head, bytes.ReplaceAll(unix, []byte("\n"), []byte("\r\n")))
	document, ok := readJSON(c.body)
	if !ok {
		return
	}
	var compact bytes.Buffer
	_ = json.Compact(&compact, c.body) // keeps the escapes that were sent; valid, so there is no error
	c.add(bodyCompact, c.head, compact.Bytes())
	for _, indent := range []string{"  ", "    "} {
		var file bytes.Buffer
		_ = json.Indent(&file, compact.Bytes(), "", indent)
		c.add(bodyIndented, c.head, file.Bytes())
		c.add(bodyIndented, c.head, append(slices.Clone(file.Bytes()), '\n'))
	}
	for _, r := range rewritings {
		c.add(r.mistake, c.head, r.style.write(nil, document))
	}
}

func (c *candidates) signedQuery(p *Proof, target string) {
	id, expires := p.KeyID, p.RawTimestamp
	var job, encoded, ordered []string
	other, as := *p, creatingBase
	if p.Creates {
		job, encoded, ordered = jobValues(target)
		as = readingBase
	}
	other.Creates = !p.Creates
	c.add(as, other.appendHead(nil, "", target), nil)
	lines := func(m mistake, separator, first, second string, job []string) {
		c.add(m, []byte(strings.Join(append([]string{first, second}, job...), separator)), nil)
	}
	lines(lineBreaksMissing, "", id, expires, job)
	lines(lineBreaksAsText, `\n`, id, expires, job)
	lines(lineBreaksCRLF, "\r\n", id, expires, job)
	lines(expiresFirst, "\n", expires, id, job)
	lines(expiresMilliseconds, "\n", id, expires+"000", job)
	lines(valuesEncoded, "\n", id, expires, encoded)
	if len(ordered) < len(job) {
		lines(valuesMissing, "\n", id, expires, ordered)
	} else {
		lines(valuesInQueryOrder, "\n", id, expires, ordered)
	}
	c.add(lineBreakAtEnd, c.head, []byte("\n"))
	c.add(lineBreakAtEnd, c.head, []byte("\r\n"))
}

// jobValues returns the values of a job in a query: decoded and as they were
// sent, both in the order of signing, and decoded in the order of the query.
func jobValues(target string) (job, encoded, ordered []string) {
	raw, order := rawJob(target)
	decoded := queryJob(target)
	for _, field := range decoded.fields() {
		job = append(job, *field)
	}
	for _, i := range order {
		ordered = append(ordered, job[i])
	}
	return job, raw[:], ordered
}

// keys adds the base string under what scripts make of the secret.
func (c *candidates) keys() {
	for _, k := range wrongKeys {
		c.list = append(c.list, candidate{mistake: k.mistake, head: c.head, rest: c.body, key: k.key})
	}
	c.list = append(c.list, candidate{mistake: argumentsSwapped, head: c.head, rest: c.body, swapped: true})
}

// each returns the parts with the separator behind each.
func each(separator string, parts ...string) (b []byte) {
	for _, part := range parts {
		b = append(append(b, part...), separator...)
	}
	return b
}
