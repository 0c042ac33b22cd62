// Package signature signs and verifies requests, names the mistake behind a
// wrong signature, and makes the key ids, secrets, nonces and link codes that
// this needs. It does no I/O and knows nothing of jobs, HTTP routes or stores.
//
// A verifier asks Parse for the Proof that a request carries, looks up the
// key's secrets (none for an unknown key), and asks Verify which of them
// signed. Verifying says who signed which bytes, not when: the caller also asks
// Fresh, and remembers for NonceTTL each nonce, and what Once returns.
//
// Under every scheme the HMAC key is the secret's own text: its UTF-8 bytes,
// never decoded. Every part is signed exactly as it is sent, nothing is
// re-serialised, and MACs are compared decoded, in constant time.
//
// # Scheme link-peeler
//
// Four headers carry the proof: HeaderKey, HeaderTimestamp (unix seconds, ten
// digits), HeaderNonce and HeaderSignature. The signature is HMAC-SHA256, in hex
// of either case, over
//
//	v1: timestamp "." nonce "." body
//	v2: timestamp "." nonce "." METHOD "." request-target "." body
//
// A v1 value is 64 hex digits and nothing else. A v2 value is "v2=" and 64 hex
// digits; up to four, separated by commas, may be sent while a secret is being
// rotated, and one that matches is enough. The two versions do not mix in one
// header.
//
// v1 does not cover the method and the path, so the caller of Verify must
// accept it for one endpoint only (see Proof.V1).
//
// In v2 a dot may also occur inside the request-target and the body, so the
// boundary between the two is not marked by the signature itself. It is safe as
// long as every accepted body is either empty or one strict JSON object, because
// no such object has another one as its tail after a dot, or ends with a dot
// (FuzzBoundary). The caller must refuse all other bodies, those of calls that
// take none included.
//
// # Scheme iklim
//
// Five headers: HeaderIklimKey, HeaderIklimSignature (HMAC-SHA256, 64 hex
// digits), HeaderIklimTimestamp (unix milliseconds, 13 digits), HeaderIklimNonce
// and HeaderIklimIdempotency (UUIDs of version 4), over
//
//	METHOD "|" request-target "|" timestamp "|" body
//
// A raw | in the request-target is refused: it would let two requests have one
// base string. Neither UUID is covered. So that a captured request does not pass
// under a fresh nonce, signatures are single-use: the caller remembers Once.
//
// # Scheme signed-query
//
// Three parameters of the query, for callers that can only build a URL:
// ParamKey, ParamExpires (unix seconds, at most MaxQueryAhead from now) and
// ParamSignature (or ParamSignatureAlias), which is HMAC-SHA256 or, where the
// key allows it (see Proof.SHA1), HMAC-SHA1, in base64 of either alphabet or
// hex, over
//
//	reading:  AccessID "\n" Expires
//	creating: AccessID "\n" Expires "\n" idempotencyKey "\n" trackingUrl "\n" source "\n" rowId
//
// with decoded values. A signature for reading covers neither path nor other
// parameters, and either may be used until it expires. The caller knows which of
// the two a call is (see Proof.Creates), refuses a body, a repeated parameter
// and a value with a control character (see QueryJob). Package builder makes
// such parameters from a template.
//
// # The schemes do not mix
//
// No base string of one scheme, version or purpose is one of another's: they
// begin with a digit, a method or a key id (FuzzSchemesDoNotMix). This relies
// on the methods that are routed and on key ids of NewKeyID's form.
//
// # Diagnosis
//
// Diagnose tries the secrets on what common mistakes would have signed: the
// wrong unit of time, a separator left out, a body serialised twice, the secret
// decoded, another scheme's base string. Mistakes lists all of them with the
// sentence that each yields. One is said only when a secret made the signature
// that was sent, so to nobody who does not hold it; and looking for it takes the
// same HMACs whether the key exists or not. DiagnoseOffline does the same beside
// the secret's owner, and can say more.
//
// # Vectors
//
// testdata holds published vectors, positive and negative, for each scheme and
// for the diagnosis, in a form that every language can read;
// testdata/README.md describes it. Vectors carries them in the program.
package signature
