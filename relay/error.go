package relay

import (
	"errors"
	"fmt"
	"time"
)

// Error is a refusal that a caller may see: an RFC 9457 problem with the
// members of CONTRACT §5. Anything that is not an *Error is shown as
// internal_error with fixed text, so nothing leaks by default.
type Error struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	Code      Code   `json:"code"`
	RequestID string `json:"requestId,omitempty"`
	Retryable bool   `json:"retryable"`

	Header            string       `json:"header,omitempty"`
	Pointer           string       `json:"pointer,omitempty"` // RFC 6901
	Errors            []FieldError `json:"errors,omitempty"`
	JobID             string       `json:"jobId,omitempty"`
	Limit             int64        `json:"limit,omitempty"`
	Windows           []string     `json:"windows,omitempty"`
	Diagnosis         string       `json:"diagnosis,omitempty"`
	ServerTime        int64        `json:"serverTime,omitempty"` // unix seconds
	ReceivedTimestamp string       `json:"receivedTimestamp,omitempty"`
	MaxSkewSeconds    int64        `json:"maxSkewSeconds,omitempty"`

	RetryAfter time.Duration `json:"-"` // becomes the Retry-After header
	cause      error         // for the log only
}

// FieldError is one fault of a field.
type FieldError struct {
	Pointer string `json:"pointer"` // RFC 6901, into the body; /query/name for a query parameter
	Reason  string `json:"reason"`
}

// NewError returns the catalogue's error for code. detail says what was wrong
// with this request and must hold nothing secret.
func NewError(code Code, detail string) *Error {
	e, ok := catalogue[code]
	if !ok {
		e = catalogue[InternalError]
	}
	return &Error{Type: "/problems/" + string(e.Code), Title: e.Title, Status: e.Status, Detail: detail, Code: e.Code, Retryable: e.Retryable}
}

// Errorf is NewError with a formatted detail.
func Errorf(code Code, format string, args ...any) *Error {
	return NewError(code, fmt.Sprintf(format, args...))
}

// Because records the cause for the log. The caller never sees it.
func (e *Error) Because(cause error) *Error {
	e.cause = cause
	return e
}

// Error implements error.
func (e *Error) Error() string {
	s := string(e.Code)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf returns the code of the first *Error in err's chain, and
// InternalError for any other error.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return InternalError
}

// Invalid returns validation_failed for the faults, or nil when there are none.
func Invalid(faults []FieldError) error {
	if len(faults) == 0 {
		return nil
	}
	e := NewError(ValidationFailed, "see errors: each names a field and what is wrong with it")
	e.Errors = faults
	return e
}
