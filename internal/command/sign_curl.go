package command

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// curl is a command for sh that sends exactly what was signed.
func (m signedMessage) curl() string {
	// As given: neither [1-3] and {a,b} nor /../ in the URL mean anything to curl.
	command := "curl -sS --globoff --path-as-is -X " + m.method + " " + quoted(m.url)
	for _, line := range m.headerLines() {
		command += " \\\n  -H " + quoted(line)
	}
	switch {
	case len(m.body) == 0:
		return command
	case pastes(m.body):
		return command + " \\\n  --data-binary " + quoted(string(m.body))
	}
	return "printf '" + octal(m.body) + "' | " + command + " \\\n  --data-binary @-"
}

// quoted is a text as one word of sh.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// pastes reports whether a body survives a terminal's clipboard as it is, and
// curl, which takes an @ at the beginning for a file's name.
func pastes(body []byte) bool {
	return utf8.Valid(body) && body[0] != '@' && !strings.ContainsFunc(string(body), func(r rune) bool {
		return r != '\n' && !unicode.IsPrint(r)
	})
}

// octal writes every byte as printf's format has it: \ and three digits.
func octal(body []byte) string {
	var b strings.Builder
	for _, c := range body {
		fmt.Fprintf(&b, `\%03o`, c)
	}
	return b.String()
}
