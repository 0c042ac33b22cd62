package redisstore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Keyring seals secrets at rest with AES-256-GCM; the key id they belong to is
// authenticated with them, so that a sealed secret moved to another key's
// record does not open. The first key seals, every key opens: rotate by
// putting a new one in front.
type Keyring struct {
	first string
	aeads map[string]cipher.AEAD
}

// SealKey is one 32-byte key-encryption key with its short public id.
type SealKey struct {
	ID  string
	Key [32]byte
}

// NewKeyring makes a keyring; the first key seals.
func NewKeyring(keys ...SealKey) (*Keyring, error) {
	if len(keys) == 0 {
		return nil, errors.New("redisstore: a keyring needs at least one key")
	}
	r := &Keyring{first: keys[0].ID, aeads: make(map[string]cipher.AEAD, len(keys))}
	for _, k := range keys {
		if _, twice := r.aeads[k.ID]; twice || strings.Contains(k.ID, ":") {
			return nil, fmt.Errorf("redisstore: keyring: the id %q is another key's or holds a colon", k.ID)
		}
		block, err := aes.NewCipher(k.Key[:])
		if err != nil {
			return nil, fmt.Errorf("redisstore: keyring: %w", err)
		}
		if r.aeads[k.ID], err = cipher.NewGCM(block); err != nil {
			return nil, fmt.Errorf("redisstore: keyring: %w", err)
		}
	}
	return r, nil
}

// seal returns "id:base64(nonce and ciphertext)".
func (r *Keyring) seal(secret, keyID string) string {
	aead := r.aeads[r.first]
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(secret)+aead.Overhead())
	_, _ = rand.Read(nonce) // never fails: see crypto/rand
	return r.first + ":" + base64.RawStdEncoding.EncodeToString(aead.Seal(nonce, nonce, []byte(secret), []byte(keyID)))
}

// open reverses seal. Its errors name key ids, never what was sealed.
func (r *Keyring) open(sealed, keyID string) (string, error) {
	id, text, _ := strings.Cut(sealed, ":")
	aead, ok := r.aeads[id]
	if !ok {
		return "", fmt.Errorf("redisstore: the secret of %s was sealed with key %q, which RELAY_SECRET_KEYS does not hold; put it back behind the first", keyID, id)
	}
	raw, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(raw) < aead.NonceSize() {
		return "", fmt.Errorf("redisstore: the sealed secret of %s is damaged", keyID)
	}
	secret, err := aead.Open(nil, raw[:aead.NonceSize()], raw[aead.NonceSize():], []byte(keyID))
	if err != nil {
		return "", fmt.Errorf("redisstore: the secret of %s does not open with key %q; is it the key that sealed it?", keyID, id)
	}
	return string(secret), nil
}
