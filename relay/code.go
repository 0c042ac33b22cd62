package relay

// Code is a stable, machine-readable reason (CONTRACT §5). Clients switch on
// it; its meaning never changes.
type Code string

// The error codes of CONTRACT §5.
const (
	HeaderMissing         Code = "header_missing"
	HeaderMalformed       Code = "header_malformed"
	HeaderDuplicated      Code = "header_duplicated"
	BodyMalformed         Code = "body_malformed"
	JSONDuplicateKey      Code = "json_duplicate_key"
	SignatureInvalid      Code = "signature_invalid"
	TimestampOutOfWindow  Code = "timestamp_out_of_window"
	KeyRevoked            Code = "key_revoked"
	KeyExpired            Code = "key_expired"
	ScopeMissing          Code = "scope_missing"
	SchemeNotAllowed      Code = "scheme_not_allowed"
	IPNotAllowed          Code = "ip_not_allowed"
	MembershipInactive    Code = "membership_inactive"
	PlanFeatureMissing    Code = "plan_feature_unavailable"
	NotFound              Code = "not_found"
	MethodNotAllowed      Code = "method_not_allowed"
	NonceReplayed         Code = "nonce_replayed"
	IdempotencyKeyReused  Code = "idempotency_key_reused"
	LeaseLost             Code = "lease_lost"
	JobFinal              Code = "job_final"
	BodyTooLarge          Code = "body_too_large"
	UnsupportedMediaType  Code = "unsupported_media_type"
	HeadersTooLarge       Code = "headers_too_large"
	ValidationFailed      Code = "validation_failed"
	IdempotencyMismatch   Code = "idempotency_key_mismatch"
	URLNotAllowed         Code = "url_not_allowed"
	RateLimited           Code = "rate_limited"
	QuotaExceeded         Code = "quota_exceeded"
	BacklogFull           Code = "backlog_full"
	FailedAuthThrottled   Code = "failed_auth_throttled"
	InternalError         Code = "internal_error"
	StoreUnavailable      Code = "store_unavailable"
	DurabilityUnconfirmed Code = "durability_unconfirmed"
	Overloaded            Code = "overloaded"
	Draining              Code = "draining"

	// Beyond CONTRACT §5, for the operator and link surfaces.
	LinkCodeInvalid Code = "link_code_invalid"
	LimitReached    Code = "limit_reached"
	AlreadyExists   Code = "already_exists"
	Unauthorized    Code = "unauthorized"
)

// Entry is one row of the error catalogue.
type Entry struct {
	Code      Code
	Status    int
	Title     string
	Retryable bool   // the same request may succeed later, unchanged
	Remedy    string // what the caller does about it
}

// Catalogue is every error the relay answers. It is the one place that maps a
// code to a status: the server renders from it and the client reads it back.
var Catalogue = []Entry{
	{HeaderMissing, 400, "A required header or signing parameter is missing", false, "Send the header that `header` names, or the parameter that `pointer` names."},
	{HeaderMalformed, 400, "A header or signing parameter is malformed", false, "Send the header that `header` names, or the parameter that `pointer` names, in the form `detail` gives."},
	{HeaderDuplicated, 400, "A header or signing parameter was sent more than once", false, "Send the header that `header` names, or the parameter that `pointer` names, exactly once."},
	{BodyMalformed, 400, "The body is not the JSON it must be", false, "Send one UTF-8 JSON object and nothing after it."},
	{JSONDuplicateKey, 400, "A JSON name appears twice", false, "Send each name once; `pointer` is the repeated one."},
	{SignatureInvalid, 401, "The signature does not match", false, "Check key id, secret, base string and encoding; `diagnosis`, when present, names the mistake."},
	{TimestampOutOfWindow, 401, "The timestamp is outside the accepted window", false, "Set the clock (compare `serverTime`) and sign again."},
	{KeyRevoked, 403, "The key was revoked", false, "Create another key on the desktop."},
	{KeyExpired, 403, "The key has expired", false, "Create or rotate the key on the desktop."},
	{ScopeMissing, 403, "The key lacks the scope for this call", false, "Use a key that has the scope `detail` names."},
	{SchemeNotAllowed, 403, "The key does not allow this signing scheme", false, "Sign with a scheme the key allows, or create a key that allows this one."},
	{IPNotAllowed, 403, "The key is not allowed from this address", false, "Call from an allowed network, or change the key's allowedCidrs."},
	{MembershipInactive, 403, "The account's membership is not active", false, "Renew the membership."},
	{PlanFeatureMissing, 403, "The plan does not include API Links", false, "Choose a plan that includes API Links."},
	{NotFound, 404, "There is nothing here", false, "Check the path and the id; records of finished jobs are kept for 24 hours."},
	{MethodNotAllowed, 405, "The method is not allowed here", false, "Use a method of the `Allow` header."},
	{NonceReplayed, 409, "The nonce was used before", false, "Sign again with a fresh nonce and the same idempotency key; `jobId`, when present, is the job the first request made."},
	{IdempotencyKeyReused, 409, "The idempotency key was used before", false, "`jobId` is the job it made; use a new key for a new job."},
	{LeaseLost, 409, "The lease is no longer held", false, "Stop working on this delivery; another device may have it."},
	{JobFinal, 409, "The job is already final", false, "Read the job; a final state never changes."},
	{AlreadyExists, 409, "It exists already", false, "Use another id, or change the existing one."},
	{LimitReached, 409, "A limit of the account is reached", false, "Remove what is no longer used, or raise the limit `detail` names."},
	{BodyTooLarge, 413, "The body is too large", false, "Send at most `limit` bytes."},
	{UnsupportedMediaType, 415, "The media type is not supported", false, "Send Content-Type: application/json, uncompressed."},
	{ValidationFailed, 422, "The request is not valid", false, "Mend every field in `errors`."},
	{IdempotencyMismatch, 422, "The idempotency key belongs to another request", false, "Use a new key for a new job, or repeat trackingUrl, source and rowId exactly."},
	{URLNotAllowed, 422, "The tracking URL's host is not allowed", false, "Use a public host."},
	{LinkCodeInvalid, 422, "The link code is not valid", false, "Ask for a new code: each works once and for a short time."},
	{RateLimited, 429, "Too many requests this minute", true, "Wait Retry-After seconds; the identical signed request may be sent again while its timestamp is fresh."},
	{QuotaExceeded, 429, "The plan's quota is used up", true, "Wait for the window's reset, or choose a larger plan."},
	{BacklogFull, 429, "Too many jobs are waiting", true, "Wait until desktops have worked off some, or connect more desktops."},
	{FailedAuthThrottled, 429, "Too many failed attempts", true, "Wait Retry-After seconds and mend the credentials before the next attempt."},
	{HeadersTooLarge, 431, "The headers are too large", false, "Send fewer or shorter headers."},
	{Unauthorized, 401, "The operator token is missing or wrong", false, "Send Authorization: Bearer with the token of RELAY_ADMIN_TOKEN."},
	{InternalError, 500, "Something went wrong on our side", true, "Send the request again; report `requestId` if it stays."},
	{StoreUnavailable, 503, "The store cannot be reached", true, "Nothing was refused for good: send the same request again after Retry-After."},
	{DurabilityUnconfirmed, 503, "The write was not confirmed as durable", true, "Send the same request again; its idempotency key makes that safe."},
	{Overloaded, 503, "The relay is overloaded", true, "Send the same request again after Retry-After."},
	{Draining, 503, "This replica is shutting down", true, "Send the same request again; another replica takes it."},
}

var catalogue = func() map[Code]Entry {
	m := make(map[Code]Entry, len(Catalogue))
	for _, e := range Catalogue {
		m[e.Code] = e
	}
	return m
}()
