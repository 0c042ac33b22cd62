package signature

// Diagnose names the mistake behind a signature that Verify refused, as one
// sentence of Mistakes, or "" when none of them is behind it. The parameters are
// those of Verify.
//
// A sentence is returned only when a MAC was presented whose key nobody knows
// without one of the secrets: the secret itself, or a text made from it that is
// as hard to guess. What can be made without the secret, such as a MAC under an
// empty key, is never told. Only secrets of NewSecret's form are tried, for it
// vouches for that. Whoever captured a signature may get the sentence that its
// maker would get, and learns that it is one.
//
// How many HMACs are computed, and of how many bytes, depends on the request
// alone: an unknown key, any number of secrets and a match cost the same.
func (p *Proof) Diagnose(secrets []string, method, target string, body []byte) string {
	var keys [MaxSecrets]string
	var issued [MaxSecrets]bool
	for i := range keys {
		keys[i] = decoy
		if i < len(secrets) {
			keys[i] = secrets[i]
		}
		if issued[i] = ValidSecret(keys[i]) && i < len(secrets); !issued[i] {
			keys[i] = decoy
		}
	}
	told := noMistake
	for _, c := range p.candidates(method, target, body) {
		for i, secret := range keys {
			if c.signed(p, secret) && issued[i] && told == noMistake {
				told = c.mistake
			}
		}
	}
	return told.sentence()
}

// DiagnoseOffline is Diagnose for the owner of the secret, at whose side it
// runs: it takes secrets of any form, tries what is too costly to try for
// strangers, and tells as well what proves nothing (Mistake.Offline).
func (p *Proof) DiagnoseOffline(secret, method, target string, body []byte) string {
	for _, c := range append(p.offline(method, target, body), p.candidates(method, target, body)...) {
		if c.signed(p, secret) {
			return c.mistake.sentence()
		}
	}
	return ""
}

// candidate is what a script may have computed by mistake: the HMAC of head and
// rest under what it made of the secret.
type candidate struct {
	mistake mistake
	head    []byte
	rest    []byte
	key     func(secret string) string // nil: the secret itself
	swapped bool                       // the text is the key, and the secret is the message
}

// signed reports whether a MAC that p presents was made in this way.
func (c *candidate) signed(p *Proof, secret string) bool {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.head = append(s.head[:0], c.head...)
	switch {
	case c.swapped:
		text := string(append(s.head, c.rest...))
		s.head = append(s.head[:0], secret...)
		defer clear(s.head)
		return s.compare(p, text, nil) != 0
	case c.key != nil:
		secret = c.key(secret)
	}
	return s.compare(p, secret, c.rest) != 0
}
