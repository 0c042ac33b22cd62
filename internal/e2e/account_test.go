package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"linkrelay/client"
	"linkrelay/relay"
	"linkrelay/signature"
)

// account is one tenant, made over the admin API.
type account struct {
	w  *world
	id string
}

// account makes one with the members of the body, such as `"plan":"pro"`. The
// plan business has room for what most tests do.
func (w *world) account(members string) account {
	w.t.Helper()
	if members == "" {
		members = `"plan":"business"`
	}
	made := as[relay.Account](w.t, w.admin(http.MethodPost, "", "{"+members+"}"), http.StatusCreated)
	return account{w, made.ID}
}

func (a account) change(members string) {
	a.w.t.Helper()
	as[relay.Account](a.w.t, a.w.admin(http.MethodPatch, "/"+a.id, "{"+members+"}"), http.StatusOK)
}

func (a account) linkCode() string {
	a.w.t.Helper()
	made := as[relay.LinkCode](a.w.t, a.w.admin(http.MethodPost, "/"+a.id+"/link-codes", ""), http.StatusCreated)
	shown.secret("link code", made.Code)
	shown.secret("link code", signature.NormalizeLinkCode(made.Code))
	return made.Code
}

func (a account) queue() relay.QueueStatus {
	a.w.t.Helper()
	return as[relay.QueueStatus](a.w.t, a.w.admin(http.MethodGet, "/"+a.id+"/queue", ""), http.StatusOK)
}

// history is the kinds of events of a job, in the order they happened.
func (a account) history(jobID string) []string {
	a.w.t.Helper()
	events := as[relay.Page[relay.Event]](a.w.t, a.w.admin(http.MethodGet, "/"+a.id+"/events?limit=500", ""), http.StatusOK)
	var kinds []string
	for _, e := range events.Items {
		if e.About["jobId"] == jobID {
			kinds = append([]string{e.Kind}, kinds...)
		}
	}
	return kinds
}

// device is a linked desktop.
type device struct {
	account
	client.Credentials
}

// link links a device with the SDK, at any replica.
func (a account) link(name string) device {
	a.w.t.Helper()
	made, err := client.Link(a.w.t.Context(), a.w.public(), a.linkCode(), name, "linux")
	if err != nil {
		a.w.t.Fatal(err)
	}
	shown.secret("secret", made.Secret)
	if made.AccountID != a.id {
		a.w.t.Fatalf("linked to %s, want %s", made.AccountID, a.id)
	}
	return device{a, made}
}

// signs returns the device's key, for raw requests.
func (d device) signs() key { return key{d.KeyID, d.Secret} }

func (d device) options(base string) client.Options {
	return client.Options{
		BaseURL: base, KeyID: d.KeyID, Secret: d.Secret,
		HTTPClient: &http.Client{Transport: watched{transport}},
		Backoff:    client.Backoff{Min: 20 * time.Millisecond, Max: 200 * time.Millisecond},
		Reconnect:  client.Backoff{Min: 20 * time.Millisecond, Max: 200 * time.Millisecond},
		Grace:      -1,
	}
}

// at returns the device's SDK for one replica.
func (d device) at(base string) *client.Desktop {
	d.w.t.Helper()
	desktop, err := client.NewDesktop(d.options(base))
	if err != nil {
		d.w.t.Fatal(err)
	}
	return desktop
}

// key creates an API key on the device.
func (d device) key(spec client.KeySpec) key {
	d.w.t.Helper()
	if spec.Name == "" {
		spec.Name = "of a test"
	}
	if spec.Environment == "" {
		spec.Environment = relay.Live
	}
	made, err := d.at(d.w.public()).CreateKey(d.w.t.Context(), spec)
	if err != nil {
		d.w.t.Fatal(err)
	}
	shown.secret("secret", made.Secret)
	return key{made.ID, made.Secret}
}

// platform returns the SDK of an API key.
func (k key) platform(t *testing.T, base string) *client.Platform {
	t.Helper()
	p, err := client.NewPlatform(client.Options{BaseURL: base, KeyID: k.id, Secret: k.secret, HTTPClient: &http.Client{Transport: watched{transport}}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// run runs the device's desktop loop until the test ends.
func (d device) run(base string, handle client.Handler) {
	d.w.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	desktop := d.at(base)
	go func() { ended <- desktop.Run(ctx, handle) }()
	d.w.t.Cleanup(func() {
		stop()
		if err := receive(d.w.t, ended, "end of the desktop"); err != nil {
			d.w.t.Errorf("desktop: %v", err)
		}
	})
}

// answers returns a handler that completes every job with the result.
func answers(result string) client.Handler {
	return func(context.Context, relay.Delivery) (json.RawMessage, error) { return json.RawMessage(result), nil }
}

// frames reads the device's stream at a replica into a channel, after its
// hello. Left out are pings and, unless also names them, keys: the frame of a
// key made just before may still be on its way.
func (d device) frames(base string, maxInFlight int, also ...relay.FrameKind) <-chan client.Frame {
	d.w.t.Helper()
	o := d.options(base)
	o.MaxInFlight = maxInFlight
	desktop, err := client.NewDesktop(o)
	if err != nil {
		d.w.t.Fatal(err)
	}
	s, err := desktop.Open(context.Background())
	if err != nil {
		d.w.t.Fatal(err)
	}
	frames := make(chan client.Frame, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(frames)
		for {
			f, err := s.Next()
			usual := f.Kind != "" && f.Kind != relay.FramePing && f.Kind != relay.FrameKeys
			if usual || slices.Contains(also, f.Kind) {
				frames <- f
			}
			if err != nil {
				return
			}
		}
	}()
	d.w.t.Cleanup(func() { s.Close(); <-ended })
	return frames
}

// frame returns the next frame, which must be of the kind.
func frame[T any](t *testing.T, from <-chan client.Frame, kind relay.FrameKind) T {
	t.Helper()
	return decode[T](t, receive(t, from, string(kind)+" frame"), kind)
}

func decode[T any](t *testing.T, f client.Frame, kind relay.FrameKind) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(f.Data, &v); err != nil || f.Kind != kind {
		t.Fatalf("frame %s %s (%v), want %s", f.Kind, f.Data, err, kind)
	}
	return v
}

// jobFrame is frame for a job, whose lease no log may show.
func jobFrame(t *testing.T, from <-chan client.Frame) relay.Delivery {
	t.Helper()
	d := frame[relay.Delivery](t, from, relay.FrameJob)
	shown.secret("lease", d.Lease)
	return d
}

// jobBody is the body of a fetch.
func jobBody(idempotencyKey, trackingURL string) string {
	return fmt.Sprintf(`{"idempotencyKey":%q,"trackingUrl":%q,"source":"newsletter","rowId":"7"}`, idempotencyKey, trackingURL)
}

// somewhere is a tracking URL that nobody follows.
const somewhere = "https://click.example/c/7"
