package redisstore

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"linkrelay/relay"
)

// Every name in Redis is made here; a test pins the texts. All keys of one
// account share its hash tag, so that a script finds them in one slot.
const (
	prefix      = "lr:"
	bellChannel = prefix + "bell"
	group       = "relay"
)

type accountKeys string // the account's id

func (a accountKeys) name(suffix string) string { return prefix + "{" + string(a) + "}" + suffix }

func (a accountKeys) account() string       { return a.name("") }
func (a accountKeys) stream() string        { return a.name(":s") }
func (a accountKeys) due() string           { return a.name(":d") }
func (a accountKeys) events() string        { return a.name(":e") }
func (a accountKeys) dead() string          { return a.name(":x") }
func (a accountKeys) ready() string         { return a.name(":r") }
func (a accountKeys) keyInventory() string  { return a.name(":k") }
func (a accountKeys) devices() string       { return a.name(":v") }
func (a accountKeys) uses() string          { return a.name(":u") }
func (a accountKeys) job(ref string) string { return a.name(":j:" + ref) }

// credential names what proves requests of one key; keyOwner leads to it.
func (a accountKeys) credential(keyID string) string { return a.name(":c:" + keyID) }

// nonce names the marker of one nonce of one key. Hashed: a nonce may be 128
// characters long and there is one marker for every request of 10 minutes.
func (a accountKeys) nonce(keyID, nonce string) string {
	return a.name(":n:" + digest(16, keyID, nonce))
}

// once names the mark of one single-use signature of one key: a nonce of another
// kind. No nonce holds the separator of digest.
func (a accountKeys) once(keyID, once string) string {
	return a.name(":n:" + digest(16, keyID, "once", once))
}

// linkMarker is what makes a link code of this account work once.
func (a accountKeys) linkMarker(codeHash string) string { return a.name(":l:" + codeHash) }

// life are the keys of the scripts that change a job, as jobs.lua lists them.
func (a accountKeys) life(more ...string) []string {
	return append([]string{a.account(), a.stream(), a.due(), a.events(), a.dead(), a.ready()}, more...)
}

// sealsKey holds a sample sealed with each key-encryption key that was ever
// first; probeKey is what readiness writes.
const (
	sealsKey = prefix + "seals"
	probeKey = prefix + "probe"
)

// keyOwner holds the account that a key belongs to, as owner has it.
func keyOwner(keyID string) string { return prefix + "key:" + keyID }

// owner is the account's hash tag: an account id alone would not show that a
// record is damaged.
func (a accountKeys) owner() string { return "{" + string(a) + "}" }

// ownerOf reverses owner.
func ownerOf(text string) (account string, ok bool) {
	account = strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}")
	return account, relay.ValidAccountID(account) && text == accountKeys(account).owner()
}

func linkCodeKey(codeHash string) string { return prefix + "link:" + codeHash }

// refOf returns the ref at the end of a job's key.
func refOf(jobKey string) string {
	return jobKey[max(0, len(jobKey)-relay.JobRefLen):]
}

// digest is the first n characters of the base64url SHA-256 of the parts.
// Tokens, codes and nonces are stored only like this.
func digest(n int, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return base64.RawURLEncoding.EncodeToString(sum[:])[:n]
}

func tokenHash(lease string) string { return digest(22, "lease", lease) }

func codeHash(code string) string { return digest(32, "link code", code) }
