package relay

import (
	"context"
	"errors"
)

// ErrUnknownKey says that no credential has the key id. It is not an *Error:
// the caller of an endpoint must see the same answer as for a wrong signature.
var ErrUnknownKey = errors.New("relay: unknown key id")

// Admission is the outcome of the admission step. Windows and Backlog are set
// also when the step refused, so that a refusal can carry RateLimit headers.
type Admission struct {
	Job      Job
	Replayed bool // an earlier request with the same idempotency key made the job
	Windows  []Window
}

// Session is one connected desktop's view of its account's queue, on one
// replica. Its methods are for one goroutine; the channels may be selected on.
type Session interface {
	// Wake receives when a claim may find something that the last one did not.
	Wake() <-chan struct{}
	// Signals receives what is not a job: cancel, keys, bye.
	Signals() <-chan Signal
	// Claim offers this device as many jobs as it has room for. Each must be
	// accepted before its AcceptBy or it goes to another device.
	Claim(ctx context.Context) ([]Delivery, error)
	// GiveBack returns offers that were never written to the device, without
	// penalty to the jobs.
	GiveBack(ctx context.Context, offers []Delivery)
	// Close forgets the session. What the device accepted stays its own.
	Close()
}

// Signal is a frame that the store asks a stream to send.
type Signal struct {
	Kind     FrameKind // FrameCancel, FrameKeys, or FrameBye when the stream must end
	JobID    string    // FrameCancel
	Revision int64     // FrameKeys
	Code     string    // FrameBye: why
}
