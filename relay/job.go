package relay

import (
	"encoding/json"
	"time"
)

// State is where a job is in its life (CONTRACT §3).
type State string

// The states of a job. The last four are final: a job enters exactly one of
// them, once.
const (
	Queued    State = "queued"
	Offered   State = "offered"
	Running   State = "running"
	Succeeded State = "succeeded"
	Dead      State = "dead"
	Cancelled State = "cancelled"
	Expired   State = "expired"
)

// Final reports whether a job in this state can never change again.
func (s State) Final() bool {
	switch s {
	case Succeeded, Dead, Cancelled, Expired:
		return true
	}
	return false
}

// JobRequest is the body of POST /api/links/fetch, after validation.
type JobRequest struct {
	IdempotencyKey string
	TrackingURL    string
	Source         string
	RowID          string
	Context        json.RawMessage // compact JSON object, or nil
	Expiry         time.Duration   // from admission until the job expires unfinished
}

// Job is one link fetch as its platform sees it. It is the answer of every
// platform endpoint that names a job, and of every desktop action.
type Job struct {
	ID             string          `json:"jobId"`
	State          State           `json:"state"`
	IdempotencyKey string          `json:"idempotencyKey,omitempty"`
	Source         string          `json:"source,omitempty"`
	RowID          string          `json:"rowId,omitempty"`
	CreatedAt      time.Time       `json:"createdAt"`
	ExpiresAt      time.Time       `json:"expiresAt"`
	Attempts       int             `json:"attempts,omitempty"`   // deliveries that were accepted
	NotBefore      *time.Time      `json:"notBefore,omitempty"`  // queued for a retry that starts no earlier
	FinishedAt     *time.Time      `json:"finishedAt,omitempty"` // set in a final state
	Result         json.RawMessage `json:"result,omitempty"`     // set in Succeeded
	Error          string          `json:"error,omitempty"`      // the last failure, in Dead or before a retry
	TrackingURL    string          `json:"-"`                    // the operator and the desktop see it; a platform correlates by source and rowId
	Context        json.RawMessage `json:"-"`
}

// Delivery is one handing of a job to one device: the data of a job frame
// (CONTRACT §4). Lease is the bearer proof for every action on it.
type Delivery struct {
	JobID       string          `json:"jobId"`
	Lease       string          `json:"lease"`
	Delivery    int             `json:"delivery"` // counts every offer of this job, accepted or not
	Attempt     int             `json:"attempt"`  // what the attempt count becomes when this offer is accepted
	AcceptBy    time.Time       `json:"acceptBy"`
	TrackingURL string          `json:"trackingUrl"`
	Source      string          `json:"source"`
	RowID       string          `json:"rowId"`
	Context     json.RawMessage `json:"context,omitempty"`
	ExpiresAt   time.Time       `json:"expiresAt"`
}

// Verb is what a device does to a delivery it holds.
type Verb string

// The five actions of CONTRACT §4.
const (
	Accept   Verb = "accept"
	Extend   Verb = "extend"
	Complete Verb = "complete"
	Fail     Verb = "fail"
	Release  Verb = "release"
)

// Action is one act of a device on a delivery.
type Action struct {
	Verb      Verb
	JobID     string
	Lease     string
	Result    json.RawMessage // Complete: compact JSON, at most MaxResult bytes
	Error     string          // Fail: what went wrong, for people
	Retryable bool            // Fail: false makes the job dead at once
	Delay     *time.Duration  // Fail: when to try again; nil lets the relay back off
}

// DeadLetter is a dead job as the operator sees it.
type DeadLetter struct {
	JobID          string    `json:"jobId"`
	IdempotencyKey string    `json:"idempotencyKey"`
	TrackingURL    string    `json:"trackingUrl"`
	Source         string    `json:"source"`
	RowID          string    `json:"rowId"`
	Attempts       int       `json:"attempts"`
	Error          string    `json:"error"`
	CreatedAt      time.Time `json:"createdAt"`
	DiedAt         time.Time `json:"diedAt"`
}

// Page is one page of a listing that is read with a cursor.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"` // pass as ?cursor= for the following page; empty at the end
}
