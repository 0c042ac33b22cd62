package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// goodFor is how long a signed request may be sent again: the relay allows
// 300 s, and clocks differ.
const goodFor = 240 * time.Second

// pauses before the next try, where the relay names none; the last one ends.
var pauses = [...]time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 0}

// platform submits jobs and reads them. Methods return the relay's JSON, or a
// *problem.
type platform struct{ url, key, secret, scheme string }

// job is what a platform asks for.
type job struct {
	IdempotencyKey string `json:"idempotencyKey"` // iklim wants a UUID of version 4, the others take any text
	TrackingURL    string `json:"trackingUrl"`
	Source         string `json:"source"`
	RowID          string `json:"rowId"`
}

// submit creates a job. Submitting it again under its idempotency key is safe:
// it stays one job.
func (p *platform) submit(ctx context.Context, j job) (json.RawMessage, error) {
	return p.call(ctx, http.MethodPost, "/api/links/fetch", &j)
}

// verify checks all that submit would, and creates nothing.
func (p *platform) verify(ctx context.Context, j job) (json.RawMessage, error) {
	return p.call(ctx, http.MethodPost, "/api/links/verify", &j)
}

// wait reads a job until it is final, which it is when it expires at the latest.
func (p *platform) wait(ctx context.Context, jobID string) (json.RawMessage, error) {
	for {
		answer, err := p.call(ctx, http.MethodGet, "/api/links/jobs/"+url.PathEscape(jobID)+"?wait=25", nil)
		if err != nil {
			return nil, err
		}
		var read struct{ State string }
		if err := json.Unmarshal(answer, &read); err != nil {
			return nil, err
		}
		switch read.State {
		case "succeeded", "dead", "cancelled", "expired":
			return answer, nil
		}
		if err := sleep(ctx, time.Second); err != nil { // a relay that is shutting down answers at once
			return nil, err
		}
	}
}

func (p *platform) find(ctx context.Context, idempotencyKey string) (json.RawMessage, error) {
	query := url.Values{"idempotencyKey": {idempotencyKey}}
	return p.call(ctx, http.MethodGet, "/api/links/jobs?"+query.Encode(), nil)
}

func (p *platform) quota(ctx context.Context) (json.RawMessage, error) {
	return p.call(ctx, http.MethodGet, "/api/links/quota", nil)
}

func (p *platform) cancel(ctx context.Context, jobID string) (json.RawMessage, error) {
	return p.call(ctx, http.MethodDelete, "/api/links/jobs/"+url.PathEscape(jobID), nil)
}

// call sends a request until it is answered for good. 429 and 503 use nothing
// up, not even the nonce: the same bytes go again. Where nobody knows what
// arrived, the request is signed anew, and the idempotency key sees to it that
// it stays one job.
func (p *platform) call(ctx context.Context, method, target string, j *job) (json.RawMessage, error) {
	var r *request
	var a answer
	for _, pause := range pauses {
		resent := r != nil
		if !resent {
			r = p.sign(method, target, j)
		}
		a = r.send(ctx)
		if a.status < 300 {
			return a.body, nil
		}
		refused := a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable
		unknown := !refused && (a.status >= 500 || resent && a.status == http.StatusConflict)
		last := pause == 0
		if a.retryAfter > 0 {
			pause = a.retryAfter
		}
		if !refused && !unknown || last || time.Since(r.signed)+pause > goodFor {
			break
		}
		if unknown {
			r = nil
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
	return nil, newProblem(a)
}

// request is a signed request. It may be sent again until goodFor has passed.
type request struct {
	method, url string
	header      http.Header
	body        []byte
	signed      time.Time
}

func (p *platform) sign(method, target string, j *job) *request {
	r := &request{method: method, url: p.url + target, header: http.Header{}, signed: time.Now()}
	if p.scheme == "signed-query" {
		separator := "?"
		if strings.Contains(target, "?") {
			separator = "&"
		}
		r.url += separator + p.query(r.signed, j)
		return r
	}
	key := uuid()
	if j != nil {
		key = j.IdempotencyKey
		r.body, _ = json.Marshal(j) // four texts always can
		r.header.Set("Content-Type", "application/json")
	}
	if p.scheme == "iklim" {
		p.iklim(r, target, key)
	} else {
		p.linkPeeler(r, target)
	}
	return r
}

func (p *platform) linkPeeler(r *request, target string) {
	timestamp, nonce := strconv.FormatInt(r.signed.Unix(), 10), uuid()
	signature := signV2(p.secret, timestamp, nonce, r.method, target, r.body)
	if p.scheme == "link-peeler-v1" && target == "/api/links/fetch" {
		signature = signV1(p.secret, timestamp, nonce, r.body)
	}
	r.header.Set("X-Link-Peeler-Key", p.key)
	r.header.Set("X-Link-Peeler-Timestamp", timestamp)
	r.header.Set("X-Link-Peeler-Nonce", nonce)
	r.header.Set("X-Link-Peeler-Signature", signature)
}

func (p *platform) iklim(r *request, target, idempotencyKey string) {
	timestamp := strconv.FormatInt(r.signed.UnixMilli(), 10)
	r.header.Set("X-Api-Key", p.key)
	r.header.Set("X-Timestamp", timestamp)
	r.header.Set("X-Nonce", uuid())
	r.header.Set("X-Idempotency-Key", idempotencyKey)
	r.header.Set("X-Signature", signIklim(p.secret, timestamp, r.method, target, r.body))
}

func (p *platform) query(now time.Time, j *job) string {
	expires := strconv.FormatInt(now.Unix()+300, 10)
	query, values := url.Values{}, []string{p.key, expires}
	if j != nil {
		query = url.Values{"idempotencyKey": {j.IdempotencyKey}, "trackingUrl": {j.TrackingURL}, "source": {j.Source}, "rowId": {j.RowID}}
		values = append(values, j.IdempotencyKey, j.TrackingURL, j.Source, j.RowID)
	}
	query.Set("AccessID", p.key)
	query.Set("Expires", expires)
	query.Set("Signature", signQuery(sha256.New, p.secret, values...))
	return query.Encode()
}

var client = &http.Client{
	Timeout: 40 * time.Second, // longer than the relay holds an answer
	CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // the signature is for this address only
	},
}

// answer is what came back. Status 599: nothing did.
type answer struct {
	status     int
	retryAfter time.Duration
	body       []byte
}

func (r *request) send(ctx context.Context) answer {
	nothing := func(err error) answer { return answer{status: 599, body: []byte(err.Error())} }
	request, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(r.body))
	if err != nil {
		return nothing(err)
	}
	request.Header = r.header.Clone()
	response, err := client.Do(request)
	if err != nil {
		return nothing(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nothing(err)
	}
	seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
	return answer{response.StatusCode, time.Duration(seconds) * time.Second, body}
}

// problem is the relay's refusal (RFC 9457). Its code is stable.
type problem struct {
	Status                  int             `json:"-"`
	Document                json.RawMessage `json:"-"`
	Code, Detail, Diagnosis string
}

func newProblem(a answer) *problem {
	p := &problem{Status: a.status, Document: a.body}
	if json.Unmarshal(a.body, p) != nil { // something on the way to the relay answered, or nothing
		p.Code, p.Detail = "no_answer_of_the_relay", string(a.body)
	}
	return p
}

func (p *problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail) }

// uuid returns a UUID of version 4 (RFC 9562 §5.4).
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
