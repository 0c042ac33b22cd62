// Package signature signs and verifies requests, and makes the key ids,
// secrets, nonces and link codes that this needs. It does no I/O and knows
// nothing of jobs, HTTP routes or stores.
//
// # Scheme link-peeler
//
// Four headers carry the proof: HeaderKey, HeaderTimestamp, HeaderNonce and
// HeaderSignature. The signature is HMAC-SHA256, in hex of either case, keyed
// with the secret's own text (its UTF-8 bytes, never decoded), over
//
//	v1: timestamp "." nonce "." body
//	v2: timestamp "." nonce "." METHOD "." request-target "." body
//
// with every part exactly as it is sent. A v1 value is 64 hex digits and
// nothing else. A v2 value is "v2=" and 64 hex digits; up to four, separated
// by commas, may be sent while a secret is being rotated, and one that matches
// is enough. The two versions do not mix in one header.
//
// v1 does not cover the method and the path, so the caller of Verify must
// accept it for one endpoint only (see LinkPeeler.V1).
//
// In v2 a dot may also occur inside the request-target and the body, so the
// boundary between the two is not marked by the signature itself. It is safe as
// long as every accepted body is either empty or one strict JSON object, because
// no such object has another one as its tail after a dot, or ends with a dot
// (FuzzBoundary). The caller must refuse all other bodies, those of calls that
// take none included.
//
// Verifying says who signed which bytes, not when: the caller also asks Fresh,
// and remembers each nonce for NonceTTL.
//
// # Vectors
//
// testdata holds published vectors, positive and negative, in a form that
// every language can read; testdata/README.md describes it.
package signature
