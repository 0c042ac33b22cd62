package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strings"
)

// The HMAC key is the secret's own text; the body is every byte that is sent.
func mac(algorithm func() hash.Hash, secret, base string, body []byte) []byte {
	h := hmac.New(algorithm, []byte(secret))
	h.Write([]byte(base))
	h.Write(body)
	return h.Sum(nil)
}

// signV1 is link-peeler v1, for POST /api/links/fetch only. The timestamp is in
// seconds.
func signV1(secret, timestamp, nonce string, body []byte) string {
	return hex.EncodeToString(mac(sha256.New, secret, timestamp+"."+nonce+".", body))
}

// signV2 is link-peeler v2, for every call. target is path and query exactly
// as sent.
func signV2(secret, timestamp, nonce, method, target string, body []byte) string {
	base := timestamp + "." + nonce + "." + method + "." + target + "."
	return "v2=" + hex.EncodeToString(mac(sha256.New, secret, base, body))
}

// signIklim is iklim, for every call. The timestamp is in milliseconds.
func signIklim(secret, timestamp, method, target string, body []byte) string {
	return hex.EncodeToString(mac(sha256.New, secret, method+"|"+target+"|"+timestamp+"|", body))
}

// signQuery is signed-query. values are AccessID, Expires and, to create a job,
// its four, not yet percent-encoded.
func signQuery(algorithm func() hash.Hash, secret string, values ...string) string {
	return base64.StdEncoding.EncodeToString(mac(algorithm, secret, strings.Join(values, "\n"), nil))
}
