package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"linkrelay/client"
	"linkrelay/relay"
)

func TestLink(t *testing.T) {
	var calls atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		var body map[string]string
		_ = json.NewDecoder(r.Body).Decode(&body)
		if r.Method+r.URL.Path != "POST/api/desktop/link" || r.Header.Get("X-Link-Peeler-Key") != "" || len(body) != 3 {
			t.Errorf("%s %s %v", r.Method, r.URL, body)
		}
		if body["code"] != "abcd efgh" || body["name"] != "Ada's" || body["platform"] != "linux" {
			cut(w)
			return
		}
		answer(w, http.StatusCreated, map[string]string{"accountId": "acc_1", "deviceId": "dev_1", "key": deviceKey, "secret": secret})
	}))
	defer srv.Close()
	got, err := client.Link(t.Context(), srv.URL, "abcd efgh", "Ada's", "linux")
	if want := (client.Credentials{AccountID: "acc_1", DeviceID: "dev_1", KeyID: deviceKey, Secret: secret}); err != nil || got != want {
		t.Errorf("Link = %v, %v", got, err)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", got, got, got, got); strings.Contains(text, secret) {
		t.Error("printing credentials shows the secret")
	}
	calls.Store(0)
	if _, err := client.Link(t.Context(), srv.URL, "lost", "x", "linux"); err == nil || calls.Load() != 1 {
		t.Errorf("a single-use code was sent %d times, error %v", calls.Load(), err)
	}
}

func TestKeys(t *testing.T) {
	id := apiKey
	srv, j := serve(t, func(n int, w http.ResponseWriter, _ request) {
		switch n {
		case 1:
			answer(w, http.StatusCreated, map[string]any{"key": id, "secret": secret, "name": "shop", "environment": "test"})
		case 2:
			answer(w, http.StatusOK, relay.KeyInventory{Revision: 3, Keys: []relay.Key{{ID: id, Name: "shop"}}})
		case 3:
			answer(w, http.StatusOK, relay.KeyInventory{Revision: 4})
		default:
			cut(w)
		}
	})
	d := newDesktop(t, func(o *client.Options) { o.BaseURL = srv.URL })
	made, err := d.CreateKey(t.Context(), client.KeySpec{Name: "shop", Environment: relay.Test})
	if err != nil || made.ID != id || made.Secret != secret || made.Environment != relay.Test {
		t.Errorf("CreateKey = %v, %v", made, err)
	}
	if strings.Contains(fmt.Sprintf("%+v", made), secret) {
		t.Error("printing a key shows its secret")
	}
	if inv, err := d.ListKeys(t.Context()); err != nil || inv.Revision != 3 || inv.Keys[0].Name != "shop" {
		t.Errorf("ListKeys = %+v, %v", inv, err)
	}
	if inv, err := d.RevokeKey(t.Context(), id); err != nil || inv.Revision != 4 {
		t.Errorf("RevokeKey = %+v, %v", inv, err)
	}
	if _, err := d.CreateKey(t.Context(), client.KeySpec{Name: "lost"}); err == nil {
		t.Error("no error for a lost answer")
	}
	all := j.requests()
	if len(all) != 4 {
		t.Fatalf("%d requests, want 4: creating a key must not be repeated", len(all))
	}
	if body := string(all[0].Body); body != `{"name":"shop","environment":"test"}` {
		t.Errorf("create %s", body)
	}
	if all[2].Method+all[2].Target != "DELETE/api/desktop/keys/"+id {
		t.Errorf("revoke %s %s", all[2].Method, all[2].Target)
	}
}

// A rotation is sent once: sent again it would make a third secret.
func TestRotateKey(t *testing.T) {
	at := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	end := at.Add(time.Hour)
	key := relay.Key{ID: apiKey, Name: "shop", Secrets: []relay.Secret{
		{Generation: 2, CreatedAt: at},
		{Generation: 1, CreatedAt: at.Add(-time.Hour), ValidUntil: &end, LastUsedAt: &at, Uses: 7},
	}}
	srv, j := serve(t, func(n int, w http.ResponseWriter, _ request) {
		if n > 2 {
			cut(w)
			return
		}
		answer(w, http.StatusOK, struct {
			relay.Key
			Secret string `json:"secret"`
		}{key, secret})
	})
	d := newDesktop(t, func(o *client.Options) { o.BaseURL = srv.URL })
	made, err := d.RotateKey(t.Context(), apiKey, time.Hour-time.Millisecond)
	if diff := cmp.Diff(key, made.Key); err != nil || made.Secret != secret || diff != "" {
		t.Errorf("RotateKey = %v, %v\n%s", made, err, diff)
	}
	for _, grace := range []time.Duration{0, time.Minute} {
		_, err = d.RotateKey(t.Context(), "a/b", grace)
	}
	if err == nil {
		t.Error("no error for a lost answer")
	}
	var got []string
	for _, r := range j.requests() {
		got = append(got, r.Method+" "+r.Target+" "+string(r.Body))
	}
	want := []string{
		"POST /api/desktop/keys/" + apiKey + `/rotate {"graceSeconds":3600}`,
		`POST /api/desktop/keys/a%2Fb/rotate {"graceSeconds":0}`,
		`POST /api/desktop/keys/a%2Fb/rotate {"graceSeconds":60}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDesktopNeedsADeviceKey(t *testing.T) {
	if _, err := client.NewDesktop(client.Options{BaseURL: "https://relay.example", KeyID: apiKey, Secret: secret}); err == nil {
		t.Error("an API key was taken for a device's")
	}
}

func TestOpen(t *testing.T) {
	hello := sse(relay.FrameHello, relay.Hello{SessionID: "s1"})
	for name, c := range map[string]struct {
		answer string
		kind   string
		err    string
	}{
		"greeted":         {hello, "text/event-stream", ""},
		"other media":     {"<html>", "text/html", "answer is not the relay's"},
		"no hello":        {sse(relay.FramePing, relay.Ping{}), "text/event-stream", "not with hello"},
		"malformed hello": {"event: hello\ndata: 7\n\n", "text/event-stream", "not with hello"},
		"over at once":    {"", "text/event-stream", "EOF"},
		"bye":             {sse(relay.FrameBye, relay.Bye{Code: "draining"}), "text/event-stream", "said bye: draining"},
		"too large":       {"data: " + strings.Repeat("x", client.MaxFrame), "text/event-stream", "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				_, _ = w.Write([]byte(c.answer))
			}))
			defer srv.Close()
			s, err := newDesktop(t, func(o *client.Options) { o.BaseURL = srv.URL }).Open(t.Context())
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("Open = %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if want := (relay.Hello{SessionID: "s1", PingSeconds: 15, LeaseSeconds: 60, OfferSeconds: 10}); s.Hello != want {
				t.Errorf("hello %+v, want the contract's values where it had none", s.Hello)
			}
		})
	}
}

// The stream's signature uses the relay's clock once the relay told it.
func TestStreamSetsTheClock(t *testing.T) {
	d := newDesk(t)
	refused := false
	d.opening(func(w http.ResponseWriter) bool {
		if refused {
			return false
		}
		refused = true
		problem(w, 401, fmt.Sprintf(`{"code":"timestamp_out_of_window","serverTime":%d}`, time.Now().Add(time.Hour).Unix()))
		return true
	})
	// A patient Reconnect: the test ends in time only if the correction does not wait.
	run(t, newDesktop(t, overSocket(t, d), func(o *client.Options) { o.Reconnect = client.Backoff{Min: time.Hour, Max: time.Hour} }), returning("{}"))
	receive(t, d.streams)
	receive(t, d.streams)
	all := d.requests()
	if ahead := all[1].Signed.Timestamp.Sub(all[0].Signed.Timestamp); ahead < 59*time.Minute || ahead > 61*time.Minute {
		t.Errorf("signed %v later", ahead)
	}
}

// Act repeats an action until it is answered, and the answer is the job.
func TestAct(t *testing.T) {
	srv, j := serve(t, func(n int, w http.ResponseWriter, _ request) {
		if n < 3 {
			refuse(w, relay.DurabilityUnconfirmed)
			return
		}
		answer(w, http.StatusOK, relay.Job{ID: "job_1", State: relay.Running})
	})
	d := newDesktop(t, func(o *client.Options) { o.BaseURL = srv.URL })
	job, err := d.Act(t.Context(), relay.Action{Verb: relay.Extend, JobID: "job_1", Lease: "l"})
	if err != nil || job.State != relay.Running || len(j.requests()) != 3 {
		t.Errorf("Act = %+v, %v after %d requests", job, err, len(j.requests()))
	}
}

func TestFailuresKeepTheirCause(t *testing.T) {
	cause := errors.New("x")
	if !errors.Is(client.Permanent(cause), cause) || !errors.Is(client.RetryIn(cause, 1), cause) {
		t.Error("the cause is hidden")
	}
	if client.Permanent(nil) != nil || client.RetryIn(nil, 1) != nil {
		t.Error("no error became one")
	}
	if both := client.Permanent(client.RetryIn(cause, 1)); !errors.Is(both, cause) {
		t.Error("the cause is hidden twice")
	}
}
