package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"linkrelay/relay"
	"linkrelay/signature"
)

// Platform submits jobs with an API key and reads them (CONTRACT §3). It is
// safe for concurrent use.
type Platform struct{ *caller }

// NewPlatform returns a client for an API key. It makes no call.
func NewPlatform(o Options) (*Platform, error) {
	c, err := newCaller(o)
	if err != nil {
		return nil, err
	}
	if kind, _ := signature.ParseKeyID(o.KeyID); kind == signature.KindDevice {
		return nil, kindError("platform")
	}
	return &Platform{c}, nil
}

// Submitted is the relay's answer to Submit.
type Submitted struct {
	Job       relay.Job
	Replayed  bool           // the job existed already: an earlier Submit with this idempotency key made it
	RateLimit []relay.Window // the account's limited windows after this call; empty when none is limited
}

// fetchBody is the body of POST /api/links/fetch.
type fetchBody struct {
	IdempotencyKey string          `json:"idempotencyKey"`
	TrackingURL    string          `json:"trackingUrl"`
	Source         string          `json:"source"`
	RowID          string          `json:"rowId"`
	Context        json.RawMessage `json:"context,omitempty"`
	ExpirySeconds  int64           `json:"expiresInSeconds,omitempty"`
}

func bodyOf(r relay.JobRequest) fetchBody {
	return fetchBody{r.IdempotencyKey, r.TrackingURL, r.Source, r.RowID, r.Context, wholeSeconds(r.Expiry)}
}

// Submit admits a job, exactly once however often it has to be sent: failures
// on the way and 500, 502, 503 and 504 are retried within Options.Attempts,
// each time signed anew under the same idempotency key.
//
// An empty IdempotencyKey is replaced by a random one; a zero Expiry leaves the
// relay's default of 24 h, and fractions of a second are rounded up. The fields
// are validated by the relay, which names every fault at once.
//
// On an error Submitted.Job.IdempotencyKey still holds the key that was sent: a
// failure on the way leaves open whether the job was admitted, and submitting
// it again under that key is safe.
func (p *Platform) Submit(ctx context.Context, r relay.JobRequest) (Submitted, error) {
	if r.IdempotencyKey == "" {
		r.IdempotencyKey = newIdempotencyKey()
	}
	s := Submitted{}
	a, err := p.do(ctx, call{method: http.MethodPost, path: "/api/links/fetch", in: bodyOf(r)}, &s.Job)
	if err != nil {
		return Submitted{Job: relay.Job{IdempotencyKey: r.IdempotencyKey}}, err
	}
	s.Replayed = a.header.Get("Idempotent-Replayed") == "true"
	s.RateLimit = rateLimit(a.header)
	return s, nil
}

// Verified is the relay's answer to Verify.
type Verified struct {
	Scheme           relay.Scheme   `json:"scheme"`
	Version          string         `json:"version"` // of scheme link-peeler: v2
	KeyID            string         `json:"key"`
	SecretGeneration int            `json:"secretGeneration"` // which of the key's secrets signed: the newest has the largest number
	WouldCreate      bool           `json:"wouldCreate"`
	Job              *relay.Job     `json:"job"` // the job that this idempotency key made before; nil when it would make one
	RateLimit        []relay.Window `json:"-"`   // as they stand; this call changes none
}

// Verify is Submit without its effect: the relay makes every check, of the
// signature, the key, the fields, the membership and the quota, and consumes
// nothing. An error is what Submit would be refused with. It is how a new key
// or secret is tried out.
//
// An empty IdempotencyKey is replaced by a random one, as in Submit.
func (p *Platform) Verify(ctx context.Context, r relay.JobRequest) (v Verified, err error) {
	if r.IdempotencyKey == "" {
		r.IdempotencyKey = newIdempotencyKey()
	}
	a, err := p.do(ctx, call{method: http.MethodPost, path: "/api/links/verify", in: bodyOf(r)}, &v)
	v.RateLimit = rateLimit(a.header)
	return v, err
}

// SubmitAndWait submits a job and waits until it is final.
func (p *Platform) SubmitAndWait(ctx context.Context, r relay.JobRequest) (relay.Job, error) {
	s, err := p.Submit(ctx, r)
	if err != nil || s.Job.State.Final() {
		return s.Job, err
	}
	return p.Wait(ctx, s.Job.ID)
}

// Wait long-polls a job until it is final, however long that takes: bound it
// with ctx. On an error it returns the job as last read.
func (p *Platform) Wait(ctx context.Context, jobID string) (relay.Job, error) {
	var last relay.Job
	for early := 0; ; {
		asked := time.Now()
		job, err := p.Job(ctx, jobID, maxServerWait)
		if err != nil {
			return last, err
		}
		if last = job; job.State.Final() {
			return job, nil
		}
		// A relay that cannot hold the answer (it is shutting down, say) answers
		// at once: then this loop must do the waiting.
		if time.Since(asked) > time.Second {
			early = 0
			continue
		}
		early++
		if err := sleep(ctx, p.backoff.pause(early)); err != nil {
			return last, err
		}
	}
}

// Job reads a job. With a wait of at least a second (at most 25 s) the relay
// holds its answer until the job is final or the wait is over.
func (p *Platform) Job(ctx context.Context, jobID string, wait time.Duration) (relay.Job, error) {
	return p.read(ctx, jobPath(jobID), url.Values{}, wait)
}

// JobByKey is Job by idempotency key.
func (p *Platform) JobByKey(ctx context.Context, idempotencyKey string, wait time.Duration) (relay.Job, error) {
	return p.read(ctx, "/api/links/jobs", url.Values{"idempotencyKey": {idempotencyKey}}, wait)
}

func (p *Platform) read(ctx context.Context, path string, query url.Values, wait time.Duration) (job relay.Job, err error) {
	wait = min(wait, maxServerWait).Truncate(time.Second)
	if wait > 0 {
		query.Set("wait", strconv.Itoa(int(wait/time.Second)))
	}
	_, err = p.do(ctx, call{method: http.MethodGet, path: path, query: query, wait: max(wait, 0)}, &job)
	return job, err
}

// Cancel cancels a job. A job that is final already answers job_final, unless
// this very call cancelled it and the answer was lost.
func (p *Platform) Cancel(ctx context.Context, jobID string) (relay.Job, error) {
	var job relay.Job
	a, err := p.do(ctx, call{method: http.MethodDelete, path: jobPath(jobID)}, &job)
	if a.tries > 1 && relay.CodeOf(err) == relay.JobFinal {
		if known, readErr := p.Job(ctx, jobID, 0); readErr == nil && known.State == relay.Cancelled {
			return known, nil
		}
	}
	return job, err
}

// Quota reads the account's membership, windows and backlog.
func (p *Platform) Quota(ctx context.Context) (q relay.QuotaStatus, err error) {
	_, err = p.do(ctx, call{method: http.MethodGet, path: "/api/links/quota"}, &q)
	for i := range q.Windows {
		q.Windows[i].Reset = time.Duration(q.Windows[i].ResetSecs) * time.Second
	}
	return q, err
}

func newIdempotencyKey() string { return relay.RandomText(22) } // 131 bits

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

func jobPath(id string) string { return "/api/links/jobs/" + url.PathEscape(id) }
