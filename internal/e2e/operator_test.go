package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"linkrelay/client"
	"linkrelay/relay"
)

// deadJob makes a job and has the device fail it for good, with the SDK.
func (d device) deadJob(k key, frames <-chan client.Frame, idempotencyKey string) relay.Job {
	t := d.w.t
	t.Helper()
	held := holdJob(t, d, k, d.w.public(), frames, idempotencyKey)
	_, err := d.at(d.w.public()).Act(t.Context(), relay.Action{Verb: relay.Fail, JobID: held.JobID, Lease: held.Lease, Error: "no such shop", Retryable: false})
	if err != nil {
		t.Fatal(err)
	}
	job, err := k.platform(t, d.w.public()).Job(t.Context(), held.JobID, 0)
	if err != nil || job.State != relay.Dead || job.Error != "no such shop" || job.Attempts != 1 {
		t.Fatalf("job %+v, %v; want it dead", job, err)
	}
	return job
}

func TestOperatorAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	created := w.admin(http.MethodPost, "", `{"accountId":"acme","plan":"pro","membership":{"state":"active","endsAt":"2100-01-01T00:00:00Z"},"limits":{"perDay":7,"maxDevices":1,"maxKeys":1}}`)
	account := as[relay.Account](t, created, http.StatusCreated)
	if location := created.header.Get("Location"); location != "/api/admin/accounts/acme" {
		t.Errorf("Location %q", location)
	}
	if account.ID != "acme" || account.Plan != "pro" || account.Membership.State != relay.MembershipActive || account.Membership.EndsAt == nil ||
		account.Effective.PerDay != 7 || account.Effective.PerMinute != 120 || time.Since(account.CreatedAt).Abs() > time.Minute {
		t.Errorf("created %s", created.body)
	}
	if diff := cmp.Diff(account, as[relay.Account](t, w.admin(http.MethodGet, "/acme", ""), http.StatusOK)); diff != "" {
		t.Errorf("read again:\n%s", diff)
	}
	changed := as[relay.Account](t, w.admin(http.MethodPatch, "/acme", `{"limits":{"perDay":0}}`), http.StatusOK)
	if changed.Effective.PerDay != 0 || changed.Effective.MaxDevices != 1 || changed.Plan != "pro" || changed.Membership.EndsAt == nil {
		t.Errorf("changed %+v: only perDay was to change", changed)
	}
	if made := as[relay.Account](t, w.admin(http.MethodPost, "", ""), http.StatusCreated); made.Plan != "free" || !strings.HasPrefix(made.ID, "acc_") {
		t.Errorf("with defaults: %+v", made)
	}
	refused(t, w.admin(http.MethodPost, "", `{"accountId":"acme"}`), relay.AlreadyExists)
	refused(t, w.admin(http.MethodGet, "/nobody", ""), relay.NotFound)
	refused(t, w.admin(http.MethodPatch, "/nobody", `{"plan":"pro"}`), relay.NotFound)
	refused(t, w.admin(http.MethodPost, "/nobody/link-codes", ""), relay.NotFound)
	bad := refused(t, w.admin(http.MethodPatch, "/acme", `{"plan":"gold","membership":{"state":"happy"},"limits":{"perDay":-2,"perYear":1}}`), relay.ValidationFailed)
	var pointers []string
	for _, e := range bad.Errors {
		pointers = append(pointers, e.Pointer)
	}
	if diff := cmp.Diff([]string{"/limits/perYear", "/plan", "/membership/state", "/limits/perDay"}, pointers); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	for _, authorization := range []string{"", "Bearer ", "Bearer wrong", adminToken} {
		r := request{http.MethodGet, "/api/admin/accounts/acme", http.Header{"Authorization": {authorization}}, ""}
		a := send(t, w.replicas[0].admin, r)
		refused(t, a, relay.Unauthorized)
		if a.header.Get("WWW-Authenticate") == "" {
			t.Error("401 without WWW-Authenticate")
		}
	}
}

// Devices and keys are bounded. A refusal uses up no link code; a success does.
func TestOperatorLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	a := w.account(`"plan":"pro","limits":{"maxDevices":1,"maxKeys":1}`)
	d := a.link("first")
	k := d.key(client.KeySpec{})
	code := a.linkCode()
	link := func(code, name string) (client.Credentials, error) {
		return client.Link(t.Context(), w.public(), code, name, "linux")
	}
	if _, err := link(code, "second"); relay.CodeOf(err) != relay.LimitReached {
		t.Errorf("a second device: %v", err)
	}
	if _, err := d.at(w.public()).CreateKey(t.Context(), client.KeySpec{Name: "second", Environment: relay.Test}); relay.CodeOf(err) != relay.LimitReached {
		t.Errorf("a second key: %v", err)
	}
	a.change(`"limits":{"maxDevices":2,"maxKeys":0}`)
	typed := strings.ToLower(strings.ReplaceAll(code, "-", " "))
	second, err := link(typed, "second")
	if err != nil {
		t.Fatalf("the code did not survive the refusal: %v", err)
	}
	shown.secret("secret", second.Secret)
	if _, err := link(code, "third"); relay.CodeOf(err) != relay.LinkCodeInvalid {
		t.Errorf("a code used twice: %v", err)
	}
	test := d.key(client.KeySpec{Name: "second", Environment: relay.Test, Scopes: []relay.Scope{relay.ScopeJobsRead}})

	devices := as[struct{ Devices []relay.Device }](t, w.admin(http.MethodGet, "/"+a.id+"/devices", ""), http.StatusOK).Devices
	if len(devices) != 2 || devices[0].ID != d.DeviceID || devices[0].Name != "first" || devices[0].KeyID != d.KeyID || devices[1].ID != second.DeviceID {
		t.Errorf("devices %+v", devices)
	}
	keys := as[relay.KeyInventory](t, w.admin(http.MethodGet, "/"+a.id+"/keys", ""), http.StatusOK)
	seen, err := d.at(w.public()).ListKeys(t.Context())
	if diff := cmp.Diff(seen, keys); diff != "" || err != nil {
		t.Errorf("the operator's and the desktop's inventory differ (%v):\n%s", err, diff)
	}
	if keys.Revision != 2 || len(keys.Keys) != 2 || keys.Keys[0].ID != k.id || keys.Keys[1].ID != test.id || keys.Keys[1].CreatedBy != d.DeviceID ||
		!cmp.Equal(keys.Keys[1].Scopes, []relay.Scope{relay.ScopeJobsRead}) || keys.Keys[1].Environment != relay.Test {
		t.Errorf("keys %+v", keys)
	}
}

// A dead job can be listed, sent again, and dropped; the audit trail has it all.
func TestOperatorDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	a := w.account("")
	d := a.link("desktop")
	k := d.key(client.KeySpec{})
	frames := d.frames(w.public(), 1)
	redriven, dropped := d.deadJob(k, frames, "redriven"), d.deadJob(k, frames, "dropped")
	jobs := "/" + a.id + "/jobs"
	list := func(query string) relay.Page[relay.DeadLetter] {
		t.Helper()
		return as[relay.Page[relay.DeadLetter]](t, w.admin(http.MethodGet, jobs+"?state=dead"+query, ""), http.StatusOK)
	}
	first := list("&limit=1")
	second := list("&limit=1&cursor=" + first.Next)
	if len(first.Items) != 1 || len(second.Items) != 1 || first.Items[0].JobID != dropped.ID {
		t.Fatalf("dead letters %+v, %+v: want the latest first", first, second)
	}
	letter := second.Items[0]
	want := relay.DeadLetter{JobID: redriven.ID, IdempotencyKey: "redriven", TrackingURL: somewhere, Source: "newsletter", RowID: "7",
		Attempts: 1, Error: "no such shop", CreatedAt: redriven.CreatedAt, DiedAt: *redriven.FinishedAt}
	if diff := cmp.Diff(want, letter); diff != "" {
		t.Errorf("dead letter (-want +got):\n%s", diff)
	}
	if q := a.queue(); q.DeadLetters != 2 || q.Waiting != 0 || q.Running != 0 {
		t.Errorf("queue %+v", q)
	}

	again := as[relay.Job](t, w.admin(http.MethodPost, jobs+"/"+redriven.ID+"/redrive", ""), http.StatusOK)
	if again.ID != redriven.ID || again.State != relay.Queued {
		t.Errorf("redriven: %+v", again)
	}
	offer := jobFrame(t, frames)
	if offer.JobID != redriven.ID || offer.Attempt != 1 {
		t.Errorf("offer %+v, want the redriven job with fresh attempts", offer)
	}
	as[relay.Job](t, send(t, w.public(), d.acts(offer, "complete", `"result":"found"`)), http.StatusOK)
	if got := w.admin(http.MethodDelete, jobs+"/"+dropped.ID, ""); got.status != http.StatusNoContent || len(got.body) != 0 {
		t.Errorf("drop: %d %s", got.status, got.body)
	}
	if left := list(""); len(left.Items) != 0 || left.Next != "" {
		t.Errorf("dead letters %+v after all were dealt with", left)
	}
	for _, id := range []string{redriven.ID, dropped.ID} {
		refused(t, w.admin(http.MethodPost, jobs+"/"+id+"/redrive", ""), relay.NotFound)
		refused(t, w.admin(http.MethodDelete, jobs+"/"+id, ""), relay.NotFound)
	}
	refused(t, w.admin(http.MethodGet, jobs, ""), relay.ValidationFailed)
	if job, err := k.platform(t, w.public()).Job(t.Context(), dropped.ID, 0); err != nil || job.State != relay.Dead {
		t.Errorf("the dropped job: %+v, %v; want it still dead", job, err)
	}
	history := []string{"job.queued", "job.offered", "job.accepted", "job.dead", "job.redriven", "job.offered", "job.succeeded"}
	if diff := cmp.Diff(history, a.history(redriven.ID)); diff != "" {
		t.Errorf("history of the redriven job (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"job.queued", "job.offered", "job.accepted", "job.dead", "job.dropped"}, a.history(dropped.ID)); diff != "" {
		t.Errorf("history of the dropped job (-want +got):\n%s", diff)
	}
	actors := map[string]string{}
	for _, e := range as[relay.Page[relay.Event]](t, w.admin(http.MethodGet, "/"+a.id+"/events", ""), http.StatusOK).Items {
		actors[e.Kind] = e.Actor
	}
	wantActors := map[string]string{"account.created": "operator", "link_code.created": "operator", "device.linked": d.DeviceID, "key.created": d.DeviceID,
		"job.queued": k.id, "job.offered": d.DeviceID, "job.accepted": d.DeviceID, "job.dead": d.DeviceID, "job.redriven": "operator", "job.succeeded": d.DeviceID, "job.dropped": "operator"}
	if diff := cmp.Diff(wantActors, actors); diff != "" {
		t.Errorf("who did what (-want +got):\n%s", diff)
	}
}

// Everything an operator can do over HTTP is a command too.
func TestOperatorCommands(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.command("account", "create", "--id", "acme", "--plan", "business", "--max-devices", "1")
	w.command("account", "update", "acme", "--per-day", "9", "--max-devices", "3")
	a := account{w, "acme"}
	var code relay.LinkCode
	if err := json.Unmarshal([]byte(w.command("account", "link-code", "acme", "--json")), &code); err != nil {
		t.Fatal(err)
	}
	shown.secret("link code", code.Code)
	linked, err := client.Link(t.Context(), w.public(), code.Code, "desktop", "linux")
	if err != nil {
		t.Fatal(err)
	}
	d := device{a, linked}
	k := d.key(client.KeySpec{})
	frames := d.frames(w.public(), 1)
	redriven, dropped := d.deadJob(k, frames, "redriven"), d.deadJob(k, frames, "dropped")

	for _, same := range []struct{ command, path string }{ // says the same as the API
		{"account show acme", "/acme"},
		{"account queue acme", "/acme/queue"},
		{"account events acme --limit 500", "/acme/events?limit=500"},
		{"device list acme", "/acme/devices"},
		{"key list acme", "/acme/keys"},
		{"job dead acme", "/acme/jobs?state=dead"},
	} {
		var said, want any
		if err := json.Unmarshal([]byte(w.command(append(strings.Fields(same.command), "--json")...)), &said); err != nil {
			t.Errorf("%s: %v", same.command, err)
		}
		if err := json.Unmarshal(w.admin(http.MethodGet, same.path, "").body, &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, said); diff != "" {
			t.Errorf("linkrelay %s and GET %s differ:\n%s", same.command, same.path, diff)
		}
	}
	for command, texts := range map[string][]string{ // and for people
		"account show acme":  {"business", "perDay", "9", "override"},
		"account queue acme": {"dead letters", "2"},
		"device list acme":   {d.DeviceID, "desktop", d.KeyID},
		"key list acme":      {k.id, "jobs:create,jobs:read,jobs:cancel"},
		"job dead acme":      {redriven.ID, dropped.ID, "no such shop", somewhere},
	} {
		for _, text := range texts {
			if out := w.command(strings.Fields(command)...); !strings.Contains(out, text) {
				t.Errorf("linkrelay %s does not say %q:\n%s", command, text, out)
			}
		}
	}

	w.command("job", "redrive", "acme", redriven.ID)
	w.command("job", "drop", "acme", dropped.ID)
	if q := a.queue(); q.DeadLetters != 0 {
		t.Errorf("%d dead letters are left", q.DeadLetters)
	}
	if offer := jobFrame(t, frames); offer.JobID != redriven.ID {
		t.Errorf("offered %s, want the redriven job", offer.JobID)
	}
	_, stderr, exit := w.linkrelay("job", "redrive", "acme", dropped.ID)
	if exit != 1 || !strings.Contains(stderr, fmt.Sprint(relay.NotFound)) {
		t.Errorf("redrive of a dropped job: exit %d, %s", exit, stderr)
	}
}
