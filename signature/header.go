package signature

// HeaderFault is the way in which a signature header is unusable.
type HeaderFault string

// The faults of a header, each with its own error code on the wire (CONTRACT §5).
const (
	Missing    HeaderFault = "missing" // absent or empty
	Malformed  HeaderFault = "malformed"
	Duplicated HeaderFault = "duplicated" // more than one line, even with equal values
)

// HeaderError names the first signature header, or parameter, that cannot be
// used. It is found before any secret is looked at, and may be shown to anyone.
type HeaderError struct {
	Kind      HeaderFault
	Header    string // the documented spelling; "" when it is a parameter
	Parameter string // of the query, under scheme signed-query; "" when it is a header
	Reason    string // continues a sentence that begins with the name; one of a fixed set, so no received value is ever in it
}

// Error implements error.
func (e *HeaderError) Error() string {
	what := "header"
	if e.Parameter != "" {
		what = "parameter"
	}
	return "signature: " + what + " " + string(e.Kind) + ": " + e.Header + e.Parameter + " " + e.Reason
}

func malformedHeader(name, reason string) (Proof, *HeaderError) {
	return Proof{}, &HeaderError{Kind: Malformed, Header: name, Reason: reason}
}

const onceForm = "must be sent exactly once"

// headerForm is one header, or parameter, that a scheme requires and what it has to look like.
type headerForm struct{ name, form string }

// presence checks that each header is there, then that each is there once.
// The map is read directly: the names of headers must be in canonical form.
func presence(h map[string][]string, required []headerForm) *HeaderError {
	for _, r := range required {
		if v := h[r.name]; len(v) == 0 || len(v) == 1 && v[0] == "" {
			return &HeaderError{Kind: Missing, Header: r.name, Reason: r.form}
		}
	}
	for _, r := range required {
		if len(h[r.name]) > 1 {
			return &HeaderError{Kind: Duplicated, Header: r.name, Reason: onceForm}
		}
	}
	return nil
}

// within reports whether s has least to most bytes, all of them allowed.
func within(s string, least, most int, allowed func(byte) bool) bool {
	if len(s) < least || len(s) > most {
		return false
	}
	for i := range len(s) {
		if !allowed(s[i]) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool   { return '0' <= c && c <= '9' }
func isVisible(c byte) bool { return '!' <= c && c <= '~' }
func isHexDigit(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
func isAlnum(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func isNonce(c byte) bool { return isAlnum(c) || c == '_' || c == '-' }
