package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"linkrelay/relay"
)

// Kind is why a resolution failed; its text is stable.
type Kind string

// The kinds of failure.
const (
	Timeout           Kind = "timeout"            // a hop, or all of them together, took too long
	DNS               Kind = "dns"                // a host name does not resolve
	RefusedAddress    Kind = "refused_address"    // a host's address is not public
	TooManyHops       Kind = "too_many_hops"      // more redirects than Options.MaxHops
	Loop              Kind = "loop"               // the redirects lead back to where they were
	BadLocation       Kind = "bad_location"       // a URL, given or redirected to, that is not acceptable
	UnsupportedScheme Kind = "unsupported_scheme" // a redirect out of the web, such as into an app
	TLS               Kind = "tls"                // the certificate or the handshake is not acceptable
	Connection        Kind = "connection"         // any other failure to talk to a host
	ServerError       Kind = "server_error"       // the link ended in a status that asks to come back later
	Cancelled         Kind = "cancelled"          // the caller's context was cancelled
)

// maxErrorText bounds the text of an error, in bytes: part of it may come from a server.
const maxErrorText = 500

// Error is every failure of [Resolver.Resolve]. Its text may be shown to the
// platform that sent the link: it never holds an address of this machine's
// network, nor a URL's path or query. The cause, which may, is only in Unwrap.
type Error struct {
	Kind       Kind
	Status     int           // ServerError: the final status
	RetryAfter time.Duration // ServerError: how long the server asked to wait; 0 when it did not say

	hop    int    // 1 for the first request; 0 before it
	host   string // of that request
	reason string // for people
	err    error  // the cause, or nil
}

// Error tells kind, hop and reason in one printable line.
func (e *Error) Error() string {
	at := ""
	if e.hop > 0 {
		at = fmt.Sprintf(" at hop %d (%s)", e.hop, cut(e.host, 100))
	}
	return "resolve: " + string(e.Kind) + at + ": " + printable(cut(e.reason, maxErrorText))
}

// Unwrap returns the cause, for a local log only.
func (e *Error) Unwrap() error { return e.err }

// Retryable reports whether the same link may resolve at another time.
func (e *Error) Retryable() bool {
	switch e.Kind {
	case Timeout, Connection, ServerError, Cancelled:
		return true
	case DNS:
		missing, ok := errors.AsType[*net.DNSError](e.err)
		return !ok || !missing.IsNotFound
	}
	return false
}

// errNotPublic is what the guard answers to a dial.
var errNotPublic = errors.New("the address is not public")

// failure names the error of one request. ctx is the whole resolution's.
func (r *Resolver) failure(ctx context.Context, err error) *Error {
	if own, ok := errors.AsType[*Error](err); ok {
		return own
	}
	dns, unresolved := errors.AsType[*net.DNSError](err)
	slow, timed := errors.AsType[net.Error](err)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return &Error{Kind: Cancelled, reason: "the resolution was cancelled", err: err}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &Error{Kind: Timeout, reason: "all hops together took too long", err: err}
	case errors.Is(err, context.DeadlineExceeded), timed && slow.Timeout():
		return &Error{Kind: Timeout, reason: "no complete answer within " + r.hopTimeout.String(), err: err}
	case errors.Is(err, errNotPublic):
		return &Error{Kind: RefusedAddress, reason: errNotPublic.Error(), err: err}
	case unresolved && dns.IsNotFound:
		return &Error{Kind: DNS, reason: "there is no such host name", err: err}
	case unresolved:
		return &Error{Kind: DNS, reason: "the host name could not be looked up", err: err}
	case strings.Contains(err.Error(), "tls: "): // several of crypto/tls' errors have no type of their own
		return &Error{Kind: TLS, reason: bare(err), err: err}
	}
	return &Error{Kind: Connection, reason: bare(err), err: err}
}

// bare is the text of an error without the addresses that package net adds.
func bare(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}

// comeBack reports whether a final status asks to try again later.
func comeBack(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// retryAfter reads a Retry-After value (RFC 9110 §10.2.3): seconds or a date.
// What is malformed or past is 0; nothing is longer than relay.MaxRetryDelay.
func retryAfter(value string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), relay.MaxRetryDelay)
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}
