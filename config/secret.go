package config

import (
	"fmt"
	"io"
)

// redacted is what every way of printing a Secret shows.
const redacted = "[redacted]"

// Secret is a text that must not be printed: fmt, encoding and zap show that
// there is one and nothing else. The text sits behind a pointer because fmt
// does not call methods on unexported fields: whoever prints a struct that
// holds a Secret in one sees an address.
type Secret struct{ text *string }

// NewSecret makes a Secret of a text.
func NewSecret(text string) Secret { return Secret{&text} }

// Decode implements envconfig.Decoder. It never fails, because envconfig puts
// the raw value into the error of a decoder that does; validation comes after.
func (s *Secret) Decode(text string) error {
	s.text = &text
	return nil
}

// Set reports whether there is a secret, the empty text being none.
func (s Secret) Set() bool { return s.Reveal() != "" }

// Reveal returns the text itself, "" when there is none.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String implements fmt.Stringer without the secret.
func (s Secret) String() string {
	if !s.Set() {
		return ""
	}
	return redacted
}

// GoString implements fmt.GoStringer without the secret.
func (s Secret) GoString() string { return s.String() }

// Format implements fmt.Formatter, so that no verb reaches the text.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText implements encoding.TextMarshaler, and so JSON, without the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
