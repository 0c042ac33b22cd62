package relay

import (
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Validate returns every fault of the request at once (CONTRACT §3): a
// validation_failed error, url_not_allowed when the host is the only fault,
// or nil. allowPrivate admits hosts that are not public, for development.
func (r *JobRequest) Validate(allowPrivate bool) error {
	var faults []FieldError
	fault := func(pointer, reason string) {
		if reason != "" {
			faults = append(faults, FieldError{pointer, reason})
		}
	}
	fault("/idempotencyKey", CheckText(r.IdempotencyKey, MaxIdempotencyKey))
	host, reason := checkTrackingURL(r.TrackingURL)
	fault("/trackingUrl", reason)
	fault("/source", CheckText(r.Source, MaxSource))
	fault("/rowId", CheckText(r.RowID, MaxRowID))
	if len(r.Context) > MaxContext {
		fault("/context", "must be at most 4096 bytes as compact JSON")
	}
	if r.Expiry < MinExpiry || r.Expiry > MaxExpiry {
		fault("/expiresInSeconds", "must be between 60 and 604800")
	}
	if reason == "" && !allowPrivate && !PublicHost(host) {
		const why = "names a private, loopback, link-local or metadata host"
		if len(faults) == 0 {
			e := NewError(URLNotAllowed, "trackingUrl "+why)
			e.Pointer = "/trackingUrl"
			return e
		}
		fault("/trackingUrl", why)
	}
	return Invalid(faults)
}

// CheckText returns what is wrong with a one-line text of 1 to limit printable
// characters, or "".
func CheckText(s string, limit int) string {
	switch {
	case s == "":
		return "is required and must not be empty"
	case !utf8.ValidString(s):
		return "must be valid UTF-8"
	case utf8.RuneCountInString(s) > limit:
		return "must be at most " + strconv.Itoa(limit) + " characters"
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return checkRunes(s)
		}
	}
	return ""
}

// OneLine makes a text fit to be shown on one line: what cannot be printed
// becomes a space, and it is cut to limit characters.
func OneLine(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if utf8.RuneCountInString(s) > limit {
		s = string([]rune(s)[:limit])
	}
	return s
}

func checkRunes(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "must hold printable characters only"
	}
	return ""
}

// checkTrackingURL returns the host of an acceptable tracking URL, or what is
// wrong with it. A backslash is refused because browsers read it as a slash
// and Go does not: the two would disagree about the host.
func checkTrackingURL(s string) (host, reason string) {
	switch {
	case s == "":
		return "", "is required and must not be empty"
	case len(s) > MaxTrackingURL:
		return "", "must be at most 4096 bytes"
	case !utf8.ValidString(s):
		return "", "must be valid UTF-8"
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }):
		return "", "must not hold control characters or white space"
	case strings.Contains(s, `\`):
		return "", "must not hold a backslash"
	}
	u, err := url.Parse(s)
	if err != nil {
		return "", "is not a URL"
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return "", "must be an absolute http or https URL"
	case u.User != nil:
		return "", "must not carry a user name or password"
	case u.Hostname() == "":
		return "", "must name a host"
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return "", "must name a port between 1 and 65535, or none"
		}
	}
	return u.Hostname(), ""
}
