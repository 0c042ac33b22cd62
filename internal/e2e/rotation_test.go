package e2e_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"linkrelay/client"
	"linkrelay/relay"
	"linkrelay/signature"
)

// rotate gives the key another secret at a replica.
func (d device) rotate(base string, k key, grace time.Duration) (key, relay.Key) {
	d.w.t.Helper()
	made, err := d.at(base).RotateKey(d.w.t.Context(), k.id, grace)
	if err != nil {
		d.w.t.Fatal(err)
	}
	shown.secret("secret", made.Secret)
	if made.ID != k.id || made.Secret == k.secret || !signature.ValidSecret(made.Secret) {
		d.w.t.Fatalf("rotated %s: %v", k.id, made)
	}
	return key{made.ID, made.Secret}, made.Key
}

// While the grace runs both secrets pass, with every scheme and at every
// replica, also where the key is in memory; with a grace of 0 the old one ends
// the moment the answer is there.
func TestRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	d := w.account("").link("desktop")
	frames := d.frames(w.replicas[1].public, 1, relay.FrameKeys)
	first := d.key(anyScheme())
	w.everywhere(first, "")
	before := receive(t, frames, "keys frame of a new key")

	second, rotated := d.rotate(w.replicas[0].public, first, time.Hour)
	if s := rotated.Secrets; len(s) != 2 || s[0].Generation != 2 || s[0].ValidUntil != nil || s[1].Generation != 1 || s[1].ValidUntil == nil {
		t.Fatalf("secrets %+v", s)
	}
	if left := time.Until(*rotated.Secrets[1].ValidUntil); left > time.Hour+time.Second || left < time.Hour-patience {
		t.Errorf("the old secret has %v left, want an hour", left)
	}
	for generation, k := range map[int]key{1: first, 2: second} {
		w.everywhere(k, "")
		for _, r := range w.replicas {
			if v, err := k.platform(t, r.public).Verify(t.Context(), relay.JobRequest{TrackingURL: somewhere, Source: "x", RowID: "7"}); err != nil || v.SecretGeneration != generation {
				t.Errorf("secret %d verifies as %+v, %v", generation, v, err)
			}
		}
	}
	after := receive(t, frames, "keys frame of a rotation")
	if string(before.Data) == string(after.Data) {
		t.Errorf("keys frame %s: the inventory has no new revision", after.Data)
	}

	third, rotated := d.rotate(w.replicas[1].public, second, 0)
	w.everywhere(first, relay.KeyExpired)
	w.everywhere(second, relay.KeyExpired)
	w.everywhere(third, "")
	if rotated.Secrets[0].Generation != 3 {
		t.Errorf("secrets %+v", rotated.Secrets)
	}

	last, _ := d.rotate(w.replicas[0].public, third, time.Second)
	w.everywhere(last, "")
	eventually(t, "end of a grace", func() bool {
		return send(t, w.replicas[1].public, third.quotaBy(relay.SchemeLinkPeeler)).status == http.StatusForbidden
	})
	w.everywhere(third, relay.KeyExpired)
	w.everywhere(last, "")
}

// A second rotation ends no secret later than the first one said, and a key has
// no more than three secrets that are valid.
func TestRotationsInARow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	d := w.account("").link("desktop")
	k := d.key(client.KeySpec{})
	_, one := d.rotate(w.public(), k, time.Hour)
	_, two := d.rotate(w.public(), k, 24*time.Hour)
	if len(two.Secrets) != 3 || !two.Secrets[2].ValidUntil.Equal(*one.Secrets[1].ValidUntil) || time.Until(*two.Secrets[1].ValidUntil) < 23*time.Hour {
		t.Errorf("secrets %+v, then %+v", one.Secrets, two.Secrets)
	}
	if _, err := d.at(w.public()).RotateKey(t.Context(), k.id, time.Hour); relay.CodeOf(err) != relay.LimitReached {
		t.Errorf("a fourth secret: %v", err)
	}
	as[relay.QuotaStatus](t, send(t, w.public(), k.quotaBy(relay.SchemeLinkPeeler)), http.StatusOK)
	newest, three := d.rotate(w.public(), k, 0)
	as[relay.QuotaStatus](t, send(t, w.public(), newest.quotaBy(relay.SchemeLinkPeeler)), http.StatusOK)
	for _, s := range three.Secrets[1:] {
		if time.Until(*s.ValidUntil) > 0 {
			t.Errorf("secret %d is valid until %v after a rotation without grace", s.Generation, s.ValidUntil)
		}
	}
	for name, id := range map[string]string{
		"no such key": signature.NewKeyID(signature.KindLive), "no key id": "lp_live_x", "the device's own": d.KeyID,
		"another's": w.account("").link("d").key(client.KeySpec{}).id,
	} {
		if _, err := d.at(w.public()).RotateKey(t.Context(), id, 0); relay.CodeOf(err) != relay.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := d.signs().call(http.MethodPost, "/api/desktop/keys/"+k.id+"/rotate", `{"graceSeconds":2592001}`)
	badRequest{r, relay.ValidationFailed, faults("/graceSeconds", "must be between 0 and 2592000")}.judge(t, send(t, w.public(), r))
}

// Revoking a key ends all its secrets, at once and everywhere.
func TestRevocationEndsEverySecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	d := w.account("").link("desktop")
	old := d.key(anyScheme())
	current, _ := d.rotate(w.public(), old, time.Hour)
	w.everywhere(old, "")
	w.everywhere(current, "")
	if _, err := d.at(w.public()).RevokeKey(t.Context(), old.id); err != nil {
		t.Fatal(err)
	}
	w.everywhere(old, relay.KeyRevoked)
	w.everywhere(current, relay.KeyRevoked)
	if _, err := d.at(w.public()).RotateKey(t.Context(), old.id, 0); err == nil {
		t.Error("a revoked key got another secret")
	}
}

// An operator and a desktop see which secret is in use, and how much.
func TestUseOfSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	a := w.account("")
	state := a.linkDesktop()
	k := w.createKey(state, "shop")
	rotated := regexp.MustCompile(`secret +(lps_\S+)`).FindStringSubmatch(w.command("desktop", "key", "rotate", k.id, "--grace", "2h", "--state", state))
	if rotated == nil {
		t.Fatal("rotate shows no secret")
	}
	current := key{k.id, rotated[1]}
	shown.secret("secret", current.secret)
	unused := w.createKey(state, "never used")
	send(t, w.public(), key{unused.id, signature.NewSecret()}.quotaBy(relay.SchemeLinkPeeler)) // proves nothing: it is no use
	const old, young = 3, 5
	for range old {
		as[relay.QuotaStatus](t, send(t, w.public(), k.quotaBy(relay.SchemeLinkPeeler)), http.StatusOK)
	}
	for range young {
		as[relay.QuotaStatus](t, send(t, w.public(), current.quotaBy(relay.SchemeLinkPeeler)), http.StatusOK)
	}
	line := func(key, generation, uses string) *regexp.Regexp {
		return regexp.MustCompile(`(?m)^` + key + ` .* ` + generation + ` +\d{4}-\S+Z +(-|\d{4}-\S+Z) +` + uses + `$`)
	}
	want := []*regexp.Regexp{line(k.id, "1", `\d+s ago +3`), line(k.id, "2", `\d+s ago +5`), line(unused.id, "1", `never +0`)}
	for name, command := range map[string][]string{"operator": {"key", "list", a.id}, "desktop": {"desktop", "key", "list", "--state", state}} {
		var text string
		eventually(t, "uses of the secrets", func() bool {
			text = w.command(command...)
			for _, pattern := range want {
				if !pattern.MatchString(text) {
					return false
				}
			}
			return true
		})
		if !strings.Contains(text, "LAST USED") {
			t.Errorf("%s: %s", name, text)
		}
	}
}
