package signature

import (
	"encoding/hex"
	"net/http"
	"strings"
)

// Reasons is every text that HeaderError.Reason can be.
var Reasons = []string{keyForm, timestampForm, millisecondsForm, nonceForm, signatureForm, onceForm}

// WithChecksum is what NewKeyID and NewSecret end with.
var WithChecksum = withChecksum

// Render writes the four headers again from what was parsed.
func (p *Proof) Render() http.Header {
	values := make([]string, p.count)
	for i := range values {
		values[i] = hex.EncodeToString(p.macs[i][:])
		if !p.V1 {
			values[i] = v2Prefix + values[i]
		}
	}
	return http.Header{
		HeaderKey:       {p.KeyID},
		HeaderTimestamp: {unixSeconds(p.Timestamp)},
		HeaderNonce:     {p.Nonce},
		HeaderSignature: {strings.Join(values, ",")},
	}
}
