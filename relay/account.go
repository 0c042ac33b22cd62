package relay

import (
	"regexp"
	"time"
)

// MembershipState says whether an account has paid.
type MembershipState string

// The membership states of CONTRACT §1. Only Active admits jobs.
const (
	MembershipActive    MembershipState = "active"
	MembershipPastDue   MembershipState = "past_due"
	MembershipCancelled MembershipState = "cancelled"
)

// Membership is an account's standing. A membership whose EndsAt has passed
// is inactive whatever its state says.
type Membership struct {
	State  MembershipState `json:"state"`
	EndsAt *time.Time      `json:"endsAt,omitempty"`
}

// Limits bound what an account may use. Zero means no limit.
type Limits struct {
	PerMinute   int64 `json:"perMinute"`
	PerDay      int64 `json:"perDay"`
	PerMonth    int64 `json:"perMonth"`
	MaxBacklog  int64 `json:"maxBacklog"`  // waiting jobs: queued or offered
	MaxInFlight int64 `json:"maxInFlight"` // unfinished deliveries of one device
	MaxDevices  int64 `json:"maxDevices"`
	MaxKeys     int64 `json:"maxKeys"` // API keys that are not revoked
}

// PlanLimit in a change takes an override back: the plan's limit holds again.
const PlanLimit = -1

// LimitOverrides replace single limits of an account's plan. A nil member
// keeps the plan's, or in a change what is there; 0 lifts the limit.
type LimitOverrides struct {
	PerMinute   *int64 `json:"perMinute,omitempty"`
	PerDay      *int64 `json:"perDay,omitempty"`
	PerMonth    *int64 `json:"perMonth,omitempty"`
	MaxBacklog  *int64 `json:"maxBacklog,omitempty"`
	MaxInFlight *int64 `json:"maxInFlight,omitempty"`
	MaxDevices  *int64 `json:"maxDevices,omitempty"`
	MaxKeys     *int64 `json:"maxKeys,omitempty"`
}

// LimitNames are the JSON names of Limits, in the order of Values.
var LimitNames = [...]string{"perMinute", "perDay", "perMonth", "maxBacklog", "maxInFlight", "maxDevices", "maxKeys"}

// Values returns pointers to the limits in the order of LimitNames.
func (l *Limits) Values() [7]*int64 {
	return [7]*int64{&l.PerMinute, &l.PerDay, &l.PerMonth, &l.MaxBacklog, &l.MaxInFlight, &l.MaxDevices, &l.MaxKeys}
}

// Values returns pointers to the overrides in the order of LimitNames.
func (o *LimitOverrides) Values() [7]**int64 {
	return [7]**int64{&o.PerMinute, &o.PerDay, &o.PerMonth, &o.MaxBacklog, &o.MaxInFlight, &o.MaxDevices, &o.MaxKeys}
}

// Over returns l with every override that is set put in its place.
func (o LimitOverrides) Over(l Limits) Limits {
	into, from := l.Values(), o.Values()
	for i, v := range from {
		if *v != nil {
			*into[i] = **v
		}
	}
	return l
}

// Account is the tenant: all keys, devices, jobs and counters belong to one.
type Account struct {
	ID         string         `json:"accountId"`
	Plan       string         `json:"plan"`
	Membership Membership     `json:"membership"`
	Overrides  LimitOverrides `json:"limits"`
	Effective  Limits         `json:"effectiveLimits"` // the plan's limits with Overrides applied
	CreatedAt  time.Time      `json:"createdAt"`
}

// AccountChange creates or patches an account; nil members stay as they are
// (or get the defaults of a new account: plan free, membership active).
type AccountChange struct {
	Plan       *string
	Membership *Membership
	Overrides  LimitOverrides
}

// Window is one quota window as it stands (CONTRACT §3, RateLimit).
type Window struct {
	Name      string        `json:"name"` // minute, day, month
	Limit     int64         `json:"limit"`
	Used      int64         `json:"used"`
	Remaining int64         `json:"remaining"`
	Reset     time.Duration `json:"-"`            // until Remaining is Limit again
	ResetSecs int64         `json:"resetSeconds"` // Reset, rounded up
	Length    time.Duration `json:"-"`
}

// QuotaStatus answers GET /api/links/quota.
type QuotaStatus struct {
	AccountID  string     `json:"accountId"`
	Plan       string     `json:"plan"`
	Membership Membership `json:"membership"`
	Windows    []Window   `json:"windows"` // only the windows that are limited
	Backlog    Backlog    `json:"backlog"`
}

// Backlog counts the jobs of an account that wait for a device.
type Backlog struct {
	Waiting int64 `json:"waiting"`
	Running int64 `json:"running"`
	Limit   int64 `json:"limit"` // 0: none
}

// QueueStatus answers the operator's GET …/queue.
type QueueStatus struct {
	Backlog
	OldestWaitingSeconds int64 `json:"oldestWaitingSeconds"`
	DeadLetters          int64 `json:"deadLetters"`
}

// Event is one line of an account's audit trail (DESIGN §2.10).
type Event struct {
	ID    string            `json:"id"`
	At    time.Time         `json:"at"`
	Kind  string            `json:"kind"`  // e.g. job.queued, key.created, account.changed
	Actor string            `json:"actor"` // a key id, a device id, operator, or relay
	About map[string]string `json:"about,omitempty"`
}

var accountID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$`)

// ValidAccountID reports whether id may name an account: 1 to 40 of
// [A-Za-z0-9_-], starting with a letter or digit. It becomes part of key names
// (as the hash tag), so the alphabet is small on purpose.
func ValidAccountID(id string) bool { return accountID.MatchString(id) }
