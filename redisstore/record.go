package redisstore

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"linkrelay/relay"
)

var states = map[string]relay.State{
	"q": relay.Queued, "o": relay.Offered, "r": relay.Running,
	"s": relay.Succeeded, "d": relay.Dead, "c": relay.Cancelled, "x": relay.Expired,
}

// record is a job's record, as jobs.lua describes it.
type record struct {
	state                     relay.State
	created, lifetime, moment int64 // ms since 1970
	attempts, deliveries      int
	entry                     string // id of its entry in the stream
	key, url, source, rowID   string
	context, tail             string
}

// parseRecord reads a record.
func parseRecord(text string) (record, error) {
	head, body, _ := strings.Cut(text, "\n")
	f := strings.Split(head, " ")
	if len(f) != 10 || states[f[0]] == "" {
		return record{}, errReply
	}
	r := record{state: states[f[0]]}
	var err error
	number := func(s string) int64 {
		n, e := strconv.ParseInt(s, 10, 64)
		if e != nil {
			err = errReply
		}
		return n
	}
	r.created, r.lifetime, r.moment = number(f[1]), number(f[2]), number(f[6])
	r.attempts, r.deliveries = int(number(f[3])), int(number(f[4]))
	if r.entry = f[5]; !strings.Contains(r.entry, "-") {
		r.entry = f[1] + "-" + r.entry
	}
	if err != nil {
		return r, err
	}
	lines := strings.SplitN(body, "\n", 6)
	if len(lines) != 6 {
		return record{}, errReply
	}
	r.key, r.url, r.source, r.rowID, r.context, r.tail = lines[0], lines[1], lines[2], lines[3], lines[4], lines[5]
	return r, nil
}

// recordBody is what a fresh record holds behind its head. Its first four lines
// are the fingerprint, which a retry must repeat. The values hold no control
// characters (relay.JobRequest.Validate).
func recordBody(r *relay.JobRequest) string {
	return r.IdempotencyKey + "\n" + r.TrackingURL + "\n" + r.Source + "\n" + r.RowID + "\n" + string(r.Context) + "\n"
}

// at is a moment of a record.
func at(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// expires is the moment from which the job can no longer be finished.
func (r *record) expires() int64 { return r.created + r.lifetime }

// job is the record as its platform sees it at now. A job whose time has passed
// is expired from that moment on, whether or not a script has settled it yet:
// no script lets it go on.
func (r *record) job(ref string, now int64) relay.Job {
	j := relay.Job{
		ID: relay.JobID(ref, at(r.created)), State: r.state,
		IdempotencyKey: r.key, TrackingURL: r.url, Source: r.source, RowID: r.rowID,
		CreatedAt: at(r.created), ExpiresAt: at(r.expires()), Attempts: r.attempts,
	}
	if r.context != "" {
		j.Context = json.RawMessage(r.context)
	}
	moment := r.moment
	if !j.State.Final() && now >= r.expires() {
		j.State, moment = relay.Expired, r.expires()
	}
	when := at(moment)
	switch {
	case j.State.Final():
		j.FinishedAt = &when
	case j.State == relay.Queued && moment > now:
		j.NotBefore = &when
	}
	if j.State == relay.Succeeded {
		j.Result = json.RawMessage(r.tail)
	} else {
		j.Error = r.tail
	}
	return j
}

// delivery is an offered record as its device sees it.
func (r *record) delivery(ref, lease string) relay.Delivery {
	d := relay.Delivery{
		JobID: relay.JobID(ref, at(r.created)), Lease: lease, Delivery: r.deliveries, Attempt: r.attempts + 1,
		AcceptBy: at(r.moment), TrackingURL: r.url, Source: r.source, RowID: r.rowID, ExpiresAt: at(r.expires()),
	}
	if r.context != "" {
		d.Context = json.RawMessage(r.context)
	}
	return d
}

// parseJob is parseRecord and job in one.
func parseJob(ref, text string, now int64) (relay.Job, error) {
	r, err := parseRecord(text)
	if err != nil {
		return relay.Job{}, err
	}
	return r.job(ref, now), nil
}
