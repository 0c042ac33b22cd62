package signature

import (
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Reasons is every text that HeaderError.Reason can be.
var Reasons = append(hinted(signatureForm, iklimSignatureForm, querySignatureForm),
	keyForm, timestampForm, millisecondsForm, nonceForm, onceForm, iklimTimestampForm, iklimSecondsForm, uuidForm, pipeForm,
	expiresForm, expiresMillisecondsForm, escapeForm)

func hinted(forms ...string) (reasons []string) {
	for _, form := range forms {
		for _, hint := range []string{"", sha1Hint, sha512Hint, twiceHint, escapeHint} {
			reasons = append(reasons, form+hint)
		}
	}
	return reasons
}

// WithChecksum is what NewKeyID and NewSecret end with.
var WithChecksum = withChecksum

// Decoy stands in for secrets; everybody can read it.
const Decoy = decoy

// Render writes the headers again from what was parsed.
func (p *Proof) Render() http.Header {
	values := make([]string, p.count)
	for i := range values {
		values[i] = hex.EncodeToString(p.macs[i][:])
		if p.base64>>i&1 != 0 {
			values[i] = base64.StdEncoding.EncodeToString(p.macs[i][:])
		}
		if p.Scheme == SchemeLinkPeeler && !p.V1 {
			values[i] = v2Prefix + values[i]
		}
	}
	if p.Scheme == SchemeIklim {
		return http.Header{
			HeaderIklimKey:         {p.KeyID},
			HeaderIklimTimestamp:   {unixMillis(p.Timestamp)},
			HeaderIklimNonce:       {p.Nonce},
			HeaderIklimIdempotency: {p.IdempotencyKey},
			HeaderIklimSignature:   values,
		}
	}
	return http.Header{
		HeaderKey:       {p.KeyID},
		HeaderTimestamp: {unixSeconds(p.Timestamp)},
		HeaderNonce:     {p.Nonce},
		HeaderSignature: {strings.Join(values, ",")},
	}
}

// RenderQuery writes the query again from what was parsed.
func (p *Proof) RenderQuery() string {
	mac := p.macs[0][:]
	if p.SHA1 {
		mac = mac[:sha1Size]
	}
	return ParamKey + "=" + url.QueryEscape(p.KeyID) + "&" + ParamExpires + "=" + unixSeconds(p.Timestamp) + "&" + ParamSignature + "=" + hex.EncodeToString(mac)
}

// WithMACs is the same request with at most four other MACs.
func (p *Proof) WithMACs(macs ...[]byte) *Proof {
	other := *p
	other.macs, other.count = [maxSignatures]digest{}, len(macs)
	for i := range macs {
		copy(other.macs[i][:], macs[i])
	}
	return &other
}

// Texts is everything that Diagnose tries the secret on.
func (p *Proof) Texts(method, target string, body []byte) (texts [][]byte) {
	for _, c := range p.candidates(method, target, body) {
		texts = append(texts, slices.Concat(c.head, c.rest))
	}
	return texts
}

// Rewritings is the document as other programs would write it.
func Rewritings(document string) (all []string) {
	v, ok := readJSON([]byte(document))
	if !ok {
		return nil
	}
	for _, r := range rewritings {
		all = append(all, string(r.style.write(nil, v)))
	}
	return all
}

// WrongKeys is what scripts make of the secret.
func WrongKeys(secret string) (keys []string) {
	for _, k := range wrongKeys {
		keys = append(keys, k.key(secret))
	}
	return keys
}

// QueryJobOf is how Verify reads a job out of a query.
var QueryJobOf = queryJob

// HMAC is what one HMAC costs.
type HMAC struct{ Size, Key, Text int } // bytes of result, key and text

// CountHMACs returns what f computes.
func CountHMACs(f func()) (all []HMAC) {
	original := newMAC
	defer func() { newMAC = original }()
	var counted []*countedMAC
	newMAC = func(h func() hash.Hash, key []byte) hash.Hash {
		c := &countedMAC{Hash: original(h, key)}
		c.cost = HMAC{Size: c.Size(), Key: len(key)}
		counted = append(counted, c)
		return c
	}
	f()
	for _, c := range counted {
		all = append(all, c.cost)
	}
	return all
}

type countedMAC struct {
	hash.Hash
	cost HMAC
}

func (c *countedMAC) Write(p []byte) (int, error) {
	c.cost.Text += len(p)
	return c.Hash.Write(p)
}
