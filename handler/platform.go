package handler

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"linkrelay/relay"
	"linkrelay/signature"
)

// platformStore is what platforms ask of the store.
type platformStore interface {
	// Admit is the admission step. Windows is set whenever they were read, also
	// beside an error.
	Admit(ctx context.Context, by relay.Caller, r *relay.JobRequest) (relay.Admission, error)
	// Check is what Admit would decide, with nothing consumed: no nonce, no
	// quota, no job. Admission.Job is set only when an earlier request made it.
	Check(ctx context.Context, by relay.Caller, r *relay.JobRequest) (relay.Admission, error)
	// Job and JobByKey hold their answer until the job is final, or wait or ctx
	// is over; ctx ends the wait only, never a read under way.
	Job(ctx context.Context, by relay.Caller, jobID string, wait time.Duration) (relay.Job, error)
	JobByKey(ctx context.Context, by relay.Caller, idempotencyKey string, wait time.Duration) (relay.Job, error)
	Cancel(ctx context.Context, by relay.Caller, jobID string) (relay.Job, error)
	Quota(ctx context.Context, by relay.Caller) (relay.QuotaStatus, error)
}

var replayed = []string{"true"}

// fetch admits a job: POST /api/links/fetch, and GET where the query is signed.
func (h *Handler) fetch(c *call) error {
	r, err := h.jobRequest(c)
	if err != nil {
		return err
	}
	a, err := h.store.Admit(c.ctx(), c.caller, r)
	header := c.g.Writer.Header()
	setRateLimit(header, a.Windows)
	if err != nil {
		return err
	}
	c.jobID = a.Job.ID
	if a.Replayed {
		h.throttles.replays.charge(source{}.withKey(&h.throttles, c.cred.KeyID), c.at)
		header["Idempotent-Replayed"] = replayed
		if a.Job.State.Final() {
			return c.reply(http.StatusOK, &a.Job)
		}
	}
	header["Location"] = []string{"/api/links/jobs/" + a.Job.ID}
	return c.reply(http.StatusAccepted, &a.Job)
}

// verified is the answer to a request that fetch would take.
type verified struct {
	OK               bool             `json:"ok"`
	Scheme           signature.Scheme `json:"scheme"`
	Version          string           `json:"version,omitempty"` // of scheme link-peeler
	Key              string           `json:"key"`
	SecretGeneration int              `json:"secretGeneration"`
	WouldCreate      bool             `json:"wouldCreate"`
	Job              *relay.Job       `json:"job,omitempty"` // that the idempotency key made before
}

// verifyJob is a signed dry run of fetch: POST /api/links/verify. It checks
// everything and consumes nothing, the nonce included.
func (h *Handler) verifyJob(c *call) error {
	r, err := h.jobRequest(c)
	if err != nil {
		return err
	}
	a, err := h.store.Check(c.ctx(), c.caller, r)
	setRateLimit(c.g.Writer.Header(), a.Windows)
	if err != nil {
		return err
	}
	v := verified{OK: true, Scheme: c.proof.Scheme, Key: c.caller.KeyID, WouldCreate: !a.Replayed,
		SecretGeneration: relay.SecretGeneration(c.caller.SecretID)}
	if v.Scheme == signature.SchemeLinkPeeler {
		v.Version = "v2" // v1 is for fetch only
	}
	if a.Replayed {
		c.jobID = a.Job.ID
		v.Job = &a.Job
	}
	return c.reply(http.StatusOK, &v)
}

// jobRequest reads and validates the job that fetch asks for. Every fault is
// answered at once: those of names and types, and those of values.
func (h *Handler) jobRequest(c *call) (*relay.JobRequest, error) {
	r := &relay.JobRequest{Expiry: relay.DefaultExpiry}
	place := "" // of the values
	if c.proof.Creates {
		place = "/query"
		r.IdempotencyKey, r.TrackingURL = c.query.Get("idempotencyKey"), c.query.Get("trackingUrl")
		r.Source, r.RowID = c.query.Get("source"), c.query.Get("rowId")
	} else if err := c.readJob(r); err != nil {
		return nil, err
	}
	err := placed(place, r.Validate(h.AllowPrivateTargets))
	if len(c.faults) == 0 {
		return r, err
	}
	c.merge(err)
	return nil, c.valid()
}

// placed says of a validation error where the values came from: "" for the body.
func placed(place string, err error) error {
	e, ok := errors.AsType[*relay.Error](err)
	if !ok || place == "" {
		return err
	}
	if e.Pointer != "" {
		e.Pointer = place + e.Pointer
	}
	for i := range e.Errors {
		e.Errors[i].Pointer = place + e.Errors[i].Pointer
	}
	return e
}

// readJob reads the body of fetch. Under iklim the idempotency key is a header;
// a body that has one as well must mean the same.
func (c *call) readJob(r *relay.JobRequest) error {
	expiry := int64(r.Expiry / time.Second)
	err := c.readJSON([]field{
		{"idempotencyKey", &r.IdempotencyKey},
		{"trackingUrl", &r.TrackingURL},
		{"source", &r.Source},
		{"rowId", &r.RowID},
		{"context", (*objectJSON)(&r.Context)},
		{"expiresInSeconds", &expiry},
	})
	r.Expiry = secondsWithin(expiry, relay.MaxExpiry)
	if key := c.proof.IdempotencyKey; key != "" {
		if r.IdempotencyKey != "" && !strings.EqualFold(r.IdempotencyKey, key) {
			c.fault("/idempotencyKey", "must be what "+signature.HeaderIklimIdempotency+" says, or be left out")
		}
		r.IdempotencyKey = key
	}
	return err
}

// secondsWithin converts seconds to a duration without overflow: what is out
// of range stays out of range, for validation to find.
func secondsWithin(n int64, limit time.Duration) time.Duration {
	most := int64(limit/time.Second) + 1
	return time.Duration(min(max(n, -1), most)) * time.Second
}

// merge adds the faults of a validation error to those found so far. A field
// whose value could not even be read is not reported a second time.
func (c *call) merge(err error) {
	e, ok := errors.AsType[*relay.Error](err)
	if !ok {
		return
	}
	faults := e.Errors
	if e.Code == relay.URLNotAllowed {
		faults = []relay.FieldError{{Pointer: e.Pointer, Reason: e.Detail}}
	}
	for _, f := range faults {
		if !slices.ContainsFunc(c.faults, func(known relay.FieldError) bool { return known.Pointer == f.Pointer }) {
			c.faults = append(c.faults, f)
		}
	}
}

// pathJob returns the job id of the path. What cannot be one is not looked for.
func (c *call) pathJob() (string, error) {
	id := c.g.Param("id")
	if _, _, ok := relay.ParseJobID(id); !ok {
		return "", relay.NewError(relay.NotFound, "no such job")
	}
	c.jobID = id
	return id, nil
}

// job reads a job: GET /api/links/jobs/{id}.
func (h *Handler) job(c *call) error {
	wait := h.wait(c)
	if err := c.valid(); err != nil {
		return err
	}
	id, err := c.pathJob()
	if err != nil {
		return err
	}
	ctx, end := h.held(c, wait)
	defer end()
	job, err := h.store.Job(ctx, c.caller, id, wait)
	return c.replyJob(&job, err)
}

// jobByKey reads a job: GET /api/links/jobs?idempotencyKey=….
func (h *Handler) jobByKey(c *call) error {
	wait, key := h.wait(c), c.query.Get("idempotencyKey")
	c.fault("/query/idempotencyKey", relay.CheckText(key, relay.MaxIdempotencyKey))
	if err := c.valid(); err != nil {
		return err
	}
	ctx, end := h.held(c, wait)
	defer end()
	job, err := h.store.JobByKey(ctx, c.caller, key, wait)
	return c.replyJob(&job, err)
}

// held returns the context of an answer that may be held. It ends with the
// client and with the replica: held answers must not use up the drain's time.
// The store answers then with the job as last seen.
func (h *Handler) held(c *call, wait time.Duration) (context.Context, context.CancelFunc) {
	if wait <= 0 {
		return c.ctx(), func() {}
	}
	ctx, cancel := context.WithCancel(c.ctx())
	go func() {
		select {
		case <-h.draining:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// cancel cancels a job: DELETE /api/links/jobs/{id}.
func (h *Handler) cancel(c *call) error {
	if err := c.valid(); err != nil {
		return err
	}
	id, err := c.pathJob()
	if err != nil {
		return err
	}
	job, err := h.store.Cancel(c.ctx(), c.caller, id)
	return c.replyJob(&job, err)
}

// quota reads membership, windows and backlog: GET /api/links/quota.
func (h *Handler) quota(c *call) error {
	if err := c.valid(); err != nil {
		return err
	}
	q, err := h.store.Quota(c.ctx(), c.caller)
	if err != nil {
		return err
	}
	if q.Windows == nil {
		q.Windows = []relay.Window{}
	}
	setRateLimit(c.g.Writer.Header(), q.Windows)
	return c.reply(http.StatusOK, &q)
}

func (c *call) replyJob(job *relay.Job, err error) error {
	if err != nil {
		return err
	}
	c.jobID = job.ID
	return c.reply(http.StatusOK, job)
}
