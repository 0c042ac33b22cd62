package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"linkrelay/internal/redistest"
	"linkrelay/redisstore"
	"linkrelay/relay"
)

// by is the request signed with another of its key's secrets.
func by(c relay.Caller, generation int) relay.Caller {
	c.SecretID = relay.SecretID(c.KeyID, generation)
	return c
}

func (b *bench) rotate(dev func() relay.Caller, keyID, secret string, grace time.Duration) relay.Key {
	b.t.Helper()
	k, err := b.s.RotateKey(b.t.Context(), dev(), keyID, secret, grace)
	if err != nil {
		b.t.Fatal(err)
	}
	return k
}

// secrets are a key's as a store knows them.
func secrets(t testing.TB, s *redisstore.Store, keyID string) (texts, ids []string) {
	t.Helper()
	c, _, err := s.Credential(context.Background(), keyID)
	if err != nil {
		t.Fatal(err)
	}
	return c.Secrets, c.SecretIDs
}

// refusedEverywhere checks that no script that acts for a platform lets a secret act.
func refusedEverywhere(b *bench, s *redisstore.Store, api func() relay.Caller, generation int, job relay.Job, code relay.Code, says string) {
	b.t.Helper()
	ctx := b.t.Context()
	c := func() relay.Caller { return by(api(), generation) }
	for name, err := range map[string]error{
		"admit":  b.err(s.Admit(ctx, c(), request("refused"))),
		"retry":  b.err(s.Admit(ctx, c(), request(job.IdempotencyKey))),
		"check":  b.err(s.Check(ctx, c(), request("refused"))),
		"job":    b.err(s.Job(ctx, c(), job.ID, 0)),
		"by key": b.err(s.JobByKey(ctx, c(), job.IdempotencyKey, 0)),
		"quota":  b.err(s.Quota(ctx, c())),
		"cancel": b.err(s.Cancel(ctx, c(), job.ID)),
	} {
		if e := wantCode(b.t, err, code); !strings.Contains(e.Detail, says) {
			b.t.Errorf("%s says %q, not %q", name, e.Detail, says)
		}
	}
}

// A secret that was replaced acts until its grace is over, and one that was
// replaced without a grace nowhere from the answer on: not on a replica either
// that remembers it.
func TestRotationHoldsEverywhere(t *testing.T) {
	onBoth(t, func(b *bench) {
		stores, dev := twoReplicas(b), b.device("d")
		api := b.platformOf(dev)
		id := api().KeyID
		job := b.admit(api(), "k")
		for _, s := range stores {
			secrets(b.t, s, id) // now cached
		}
		before, err := b.s.KeyInventory(b.t.Context(), dev())
		b.must(before, err)
		key := b.rotate(dev, id, "second", time.Hour)
		if s := key.Secrets; key.ID != id || key.Name != "k" || len(s) != 2 || s[0].Generation != 2 || s[0].ValidUntil != nil ||
			s[1].Generation != 1 || time.Until(*s[1].ValidUntil).Round(time.Minute) != time.Hour || s[1].CreatedAt != key.CreatedAt {
			b.t.Errorf("rotated %+v", key)
		}
		after, err := stores[1].KeyInventory(b.t.Context(), dev())
		b.must(after, err)
		if after.Revision != before.Revision+1 || len(after.Keys) != 1 || len(after.Keys[0].Secrets) != 2 {
			b.t.Errorf("inventory went from %+v to %+v", before, after)
		}
		for _, s := range stores {
			waitUntil(b.t, func() bool { texts, _ := secrets(b.t, s, id); return len(texts) == 2 }) // its bell comes
			texts, ids := secrets(b.t, s, id)
			if !slices.Equal(texts, []string{"second", "secret"}) || !slices.Equal(ids, []string{id + ".2", id + ".1"}) {
				b.t.Errorf("secrets %v %v", texts, ids)
			}
			for generation := 1; generation <= 2; generation++ {
				b.must(s.Admit(b.t.Context(), by(api(), generation), request(relay.RandomText(8))))
				b.must(s.Quota(b.t.Context(), by(api(), generation)))
			}
		}
		b.rotate(dev, id, "third", 0)
		for _, s := range stores {
			for generation := 1; generation <= 2; generation++ {
				refusedEverywhere(b, s, api, generation, job, relay.KeyExpired, "was replaced")
			}
			b.must(s.Cancel(b.t.Context(), by(api(), 3), b.admit(by(api(), 3), relay.RandomText(8)).ID))
		}
		b.rotate(dev, id, "fourth", 0) // pushes the first one out
		waitUntil(b.t, func() bool { texts, _ := secrets(b.t, stores[1], id); return texts[0] == "fourth" })
		if texts, _ := secrets(b.t, stores[1], id); !slices.Equal(texts, []string{"fourth", "third", "second"}) {
			b.t.Errorf("secrets %v", texts)
		}
		refusedEverywhere(b, stores[1], api, 1, job, relay.KeyExpired, "was replaced")
		b.must(stores[1].RevokeKey(b.t.Context(), dev(), id))
		for generation := 1; generation <= 5; generation++ {
			refusedEverywhere(b, b.s, api, generation, job, relay.KeyRevoked, "was revoked")
		}
		_, err = b.s.RotateKey(b.t.Context(), dev(), id, "fifth", 0)
		wantCode(b.t, err, relay.NotFound)
	})
}

func TestGraceEnds(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		api := b.platformOf(dev)
		id := api().KeyID
		b.rotate(dev, id, "2", 1500*time.Millisecond)
		b.must(b.s.Quota(b.t.Context(), by(api(), 1)))
		waitUntil(b.t, func() bool { return b.err(b.s.Quota(b.t.Context(), by(api(), 1))) != nil })
		wantCode(b.t, b.err(b.s.Quota(b.t.Context(), by(api(), 1))), relay.KeyExpired)
		b.must(b.s.Quota(b.t.Context(), by(api(), 2)))
	})
}

// No rotation moves an end that was set before, and no more than three secrets
// are valid at a time.
func TestRotationMovesNoEnd(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		api := b.platformOf(dev)
		id := api().KeyID
		one := b.rotate(dev, id, "2", 3*time.Second)
		two := b.rotate(dev, id, "3", 24*time.Hour)
		if !two.Secrets[2].ValidUntil.Equal(*one.Secrets[1].ValidUntil) || two.Secrets[1].ValidUntil.Sub(*two.Secrets[2].ValidUntil) < 23*time.Hour {
			b.t.Errorf("%+v, then %+v", one.Secrets, two.Secrets)
		}
		c := dev()
		_, err := b.s.RotateKey(b.t.Context(), c, id, "4", time.Hour)
		e := wantCode(b.t, err, relay.LimitReached)
		if end := two.Secrets[2].ValidUntil.Format(time.RFC3339); !strings.Contains(e.Detail, end) || !strings.Contains(e.Detail, "graceSeconds 0") {
			b.t.Errorf("%q does not say %s, nor what to do", e.Detail, end)
		}
		for generation := 1; generation <= 3; generation++ { // the refusal ended none
			b.must(b.s.Quota(b.t.Context(), by(api(), generation)))
		}
		var four relay.Key
		waitUntil(b.t, func() bool { // until the first one's end; the refusals did not burn the nonce
			four, err = b.s.RotateKey(b.t.Context(), c, id, "4", time.Hour)
			return err == nil
		})
		if s := four.Secrets; len(s) != 3 || s[0].Generation != 4 || s[2].Generation != 2 || time.Until(*s[2].ValidUntil) > time.Hour+time.Minute {
			b.t.Errorf("secrets %+v", s)
		}
		five := b.rotate(dev, id, "5", 0) // with three valid ones
		for _, s := range five.Secrets[1:] {
			if time.Until(*s.ValidUntil) > time.Second {
				b.t.Errorf("generation %d ends %s", s.Generation, s.ValidUntil)
			}
		}
		for generation := 1; generation <= 4; generation++ {
			wantCode(b.t, b.err(b.s.Quota(b.t.Context(), by(api(), generation))), relay.KeyExpired)
		}
	})
}

// The expiry of a key is that of all its secrets; no rotation moves it.
func TestRotationKeepsTheKeysExpiry(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		ends := time.Now().Add(3 * time.Second).UTC().Truncate(time.Millisecond)
		spec := relay.KeySpec{ID: "lp_live_" + relay.RandomText(16), Secret: "1", AllowSHA1: true, ExpiresAt: &ends}
		created, err := b.s.CreateKey(b.t.Context(), dev(), spec)
		b.must(created, err)
		if s := created.Secrets; len(s) != 1 || s[0].Generation != 1 || s[0].ValidUntil != nil || s[0].Uses != 0 || !created.AllowSHA1 {
			b.t.Errorf("created %+v", created)
		}
		api := func() relay.Caller { return b.caller(spec.ID, "") }
		key := b.rotate(dev, spec.ID, "2", time.Hour)
		if key.Secrets[0].ValidUntil != nil || key.Secrets[1].ValidUntil != nil || !key.ExpiresAt.Equal(ends) || !key.AllowSHA1 {
			b.t.Errorf("rotated %+v", key)
		}
		if c, _, err := b.s.Credential(b.t.Context(), spec.ID); err != nil || !c.AllowSHA1 {
			b.t.Errorf("%+v, %v", c, err)
		}
		for generation := 1; generation <= 2; generation++ {
			b.must(b.s.Quota(b.t.Context(), by(api(), generation)))
		}
		waitUntil(b.t, func() bool { return b.err(b.s.Quota(b.t.Context(), by(api(), 2))) != nil })
		e := wantCode(b.t, b.err(b.s.Quota(b.t.Context(), by(api(), 2))), relay.KeyExpired)
		if strings.Contains(e.Detail, "replaced") {
			b.t.Errorf("detail %q", e.Detail)
		}
		wantCode(b.t, b.err(b.s.Quota(b.t.Context(), by(api(), 1))), relay.KeyExpired)
		_, err = b.s.RotateKey(b.t.Context(), dev(), spec.ID, "3", 0)
		if e := wantCode(b.t, err, relay.KeyExpired); !strings.Contains(e.Detail, "create another key") {
			b.t.Errorf("detail %q", e.Detail)
		}
	})
}

func TestWhatCannotBeRotated(t *testing.T) {
	onBoth(t, func(b *bench) {
		dev := b.device("d")
		mine := b.platformOf(dev)().KeyID
		stranger := newBench(b.t, b.s).device("stranger")
		for name, call := range map[string]struct {
			c  relay.Caller
			id string
		}{"nobody's": {dev(), "lp_live_nobodys"}, "another account's": {stranger(), mine}, "the device's own": {dev(), dev().KeyID}} {
			_, err := b.s.RotateKey(b.t.Context(), call.c, call.id, "new", 0)
			if relay.CodeOf(err) != relay.NotFound {
				b.t.Errorf("%s: %v", name, err)
			}
		}
		c := dev()
		b.must(b.s.Quota(b.t.Context(), c))
		_, err := b.s.RotateKey(b.t.Context(), c, mine, "new", 0) // its nonce is used
		wantCode(b.t, err, relay.NonceReplayed)
		b.must(client(b.t, b.url).HDel(b.t.Context(), b.key(""), "k:"+c.SecretID).Result())
		_, err = b.s.RotateKey(b.t.Context(), dev(), mine, "new", 0)
		wantCode(b.t, err, relay.KeyRevoked)
		if texts, _ := secrets(b.t, b.s, mine); !slices.Equal(texts, []string{"secret"}) {
			b.t.Errorf("secrets %v", texts)
		}
	})
}

// Rotations at once over two replicas: each that was answered made a generation
// of its own, and no secret acts that nobody was told.
func TestRotationsAtOnce(t *testing.T) {
	onBoth(t, func(b *bench) {
		stores, dev := twoReplicas(b), b.device("d")
		api := b.platformOf(dev)
		id := api().KeyID
		var mu sync.Mutex
		told, unanswered := []string{"secret"}, []string{}
		together(6, func(i int) {
			secret := fmt.Sprint("secret ", i)
			_, err := stores[i%2].RotateKey(context.Background(), dev(), id, secret, 0)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				told = append(told, secret)
			case relay.CodeOf(err) == relay.StoreUnavailable: // the others were faster every time, or the machine is busy
				unanswered = append(unanswered, secret)
			default:
				b.t.Error(err)
			}
		})
		fresh := open(b.t, b.url)
		texts, ids := secrets(b.t, fresh, id)
		newest := relay.SecretGeneration(ids[0])
		for i, secret := range texts {
			if ids[i] != relay.SecretID(id, newest-i) || !slices.Contains(append(told, unanswered...), secret) {
				b.t.Errorf("%v were told, and %v %v are known", told, ids, texts)
			}
		}
		if newest < len(told) || newest > len(told)+len(unanswered) || len(texts) != min(newest, 3) {
			b.t.Errorf("%v were told, and %v %v are known", told, ids, texts)
		}
		b.must(fresh.Quota(b.t.Context(), by(api(), newest)))
		for generation := 1; generation < newest; generation++ {
			wantCode(b.t, b.err(fresh.Quota(b.t.Context(), by(api(), generation))), relay.KeyExpired)
		}
	})
}

// However a revocation and rotations meet, nothing of the key acts afterwards.
func TestRotationAgainstRevocation(t *testing.T) {
	onBoth(t, func(b *bench) {
		stores, dev := twoReplicas(b), b.device("d")
		rdb := client(b.t, b.url)
		for range b.crowd(100) {
			id := b.platformOf(dev)().KeyID
			together(4, func(i int) {
				ctx := context.Background()
				if i == 0 {
					if _, err := stores[0].RevokeKey(ctx, dev(), id); err != nil {
						b.t.Error(err)
					}
					return
				}
				_, err := stores[i%2].RotateKey(ctx, dev(), id, fmt.Sprint(i), time.Hour)
				if code := relay.CodeOf(err); err != nil && code != relay.NotFound && code != relay.LimitReached {
					b.t.Error(err)
				}
			})
			fields, err := rdb.HKeys(b.t.Context(), b.key("")).Result()
			b.must(fields, err)
			for _, f := range fields {
				if strings.Contains(f, id) {
					b.t.Fatalf("the revoked key left the field %s", f)
				}
			}
			if left := rdb.HExists(b.t.Context(), b.key(":k"), id).Val(); left {
				b.t.Fatal("the revoked key is in the inventory")
			}
			if ttl := rdb.PTTL(b.t.Context(), b.key(":c:"+id)).Val(); ttl <= 0 || ttl > 31*24*time.Hour {
				b.t.Fatalf("its credential is kept for %s", ttl)
			}
		}
	})
}

// While a key is rotated over and over with a grace, whoever signs with the
// secret he was told last is never refused.
func TestRotationInterruptsNobody(t *testing.T) {
	onBoth(t, func(b *bench) {
		stores, dev := twoReplicas(b), b.device("d")
		api := b.platformOf(dev)
		b.limits(relay.LimitOverrides{PerMinute: ptr(int64(0)), PerDay: ptr(int64(0)), MaxBacklog: ptr(int64(0))})
		id := api().KeyID
		var mu sync.Mutex
		newest := 1
		done := make(chan struct{})
		var platforms sync.WaitGroup
		for i := range 4 {
			platforms.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-done:
						return
					default:
					}
					mu.Lock()
					generation := newest
					mu.Unlock()
					if _, err := stores[i%2].Admit(context.Background(), by(api(), generation), request(fmt.Sprint(i, "-", n))); err != nil {
						b.t.Errorf("generation %d: %v", generation, err)
						return
					}
				}
			})
		}
		for generation := 2; generation < 7; generation++ {
			waitUntil(b.t, func() bool {
				_, err := b.s.RotateKey(b.t.Context(), dev(), id, fmt.Sprint(generation), 1500*time.Millisecond)
				return err == nil
			})
			mu.Lock()
			newest = generation
			mu.Unlock()
		}
		close(done)
		platforms.Wait()
	})
}

// A rotation whose replies are lost happens once or is refused, and what the
// account lets act is what a caller was told.
func TestLostRepliesOfARotation(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{"cut": cut, "never arrived": never} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newSpoilt(t)
			dev := b.device("d")
			api := b.platformOf(dev)
			id := api().KeyID
			newest := func(generation int, secret string) {
				t.Helper()
				texts, ids := secrets(t, open(t, servers["redis"]), id)
				if texts[0] != secret || ids[0] != relay.SecretID(id, generation) {
					t.Errorf("%v %v are known", ids, texts)
				}
				b.must(b.s.Quota(t.Context(), by(api(), generation)))
			}
			b.p.spoil(f, redisstore.ScriptSHA("key"), 1) // what it asks first
			b.rotate(dev, id, "2", 0)
			b.p.spoil(f, `"generation":3`, 1) // what it does then
			b.rotate(dev, id, "3", 0)
			newest(3, "3")
			wantCode(t, b.err(b.s.Quota(t.Context(), by(api(), 2))), relay.KeyExpired)

			c := dev()
			b.p.spoil(f, `"generation":4`, 2)
			_, err := b.s.RotateKey(t.Context(), c, id, "never told", time.Hour)
			wantCode(t, err, relay.StoreUnavailable)
			b.must(b.s.Quota(t.Context(), by(api(), 3))) // in its grace, or not replaced
			_, err = b.s.RotateKey(t.Context(), c, id, "4", time.Hour)
			if f == never {
				b.must(nil, err)
				newest(4, "4")
			} else { // it would be the answer to another secret
				wantCode(t, err, relay.NonceReplayed)
				b.rotate(dev, id, "5", time.Hour)
				newest(5, "5")
				b.must(b.s.Quota(t.Context(), by(api(), 3)))
			}
			rotations := 0
			page, err := b.s.Events(t.Context(), b.account, "", 100)
			b.must(page, err)
			for _, e := range page.Items {
				if e.Kind == "key.rotated" && e.About["key"] == id {
					rotations++
				}
			}
			if want := map[fault]int{never: 3, cut: 4}[f]; rotations != want {
				t.Errorf("%d events of rotations, want %d", rotations, want)
			}
		})
	}
}

// A record in another form is an error that says so, and no panic.
func TestDamagedCredentials(t *testing.T) {
	onBoth(t, func(b *bench) {
		rdb := client(b.t, b.url)
		dev := b.device("d")
		for _, bad := range []struct{ suffix, text, says string }{
			{"", "damaged", "is damaged, or was written by another version"},
			{"", "", "is damaged"},
			{"", b.account, "is damaged"},
			{"", `{"account":"` + b.account + `","sealed":["k1:x"]}`, "written by another version"},
			{":c:", "damaged", "is damaged, or was written by another version"},
			{":c:", `{"account":"a","sealed":["k1:x"],"schemes":["link-peeler"]}`, "written by another version"},
			{":c:", `{"secrets":[{"generation":1,"sealed":"k9:x"}]}`, `sealed with key "k9"`},
			{":c:", `{"secrets":[{"generation":1,"sealed":"k1:x"}]}`, "is damaged"},
			{":c:", `{"secrets":{}}`, "is damaged"},
		} {
			id := b.platformOf(dev)().KeyID
			name := "lr:key:" + id
			if bad.suffix != "" {
				name = b.key(bad.suffix + id)
			}
			b.must(rdb.Set(b.t.Context(), name, bad.text, 0).Result())
			b.must(rdb.Publish(b.t.Context(), "lr:bell", "x "+id).Result())
			_, _, err := b.s.Credential(b.t.Context(), id)
			if err == nil || relay.CodeOf(err) != relay.InternalError || !strings.Contains(err.Error(), bad.says) {
				b.t.Errorf("%s %q: %v", bad.suffix, bad.text, err)
			}
			if bad.suffix != "" && !strings.Contains(bad.text, "k1:x\"}") && !strings.Contains(bad.text, "k9") {
				if _, err := b.s.RotateKey(b.t.Context(), dev(), id, "new", 0); relay.CodeOf(err) != relay.InternalError {
					b.t.Errorf("%q is rotated: %v", bad.text, err)
				}
			}
		}
		id := b.platformOf(dev)().KeyID
		b.must(rdb.HSet(b.t.Context(), b.key(":k"), id, `{"key":"`+id+`"}`).Result())
		if _, err := b.s.RotateKey(b.t.Context(), dev(), id, "new", 0); relay.CodeOf(err) != relay.InternalError {
			b.t.Errorf("an entry without secrets is rotated: %v", err)
		}
		b.must(b.s.RevokeKey(b.t.Context(), dev(), id)) // what is damaged can be revoked
	})
}

// Bells that a replica missed are made up for when its subscription is back.
func TestRotationDuringABrokenSubscription(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb, p := server.Client(t), newProxy(t, server.URL())
	b := newBench(t, open(t, server.URL()))
	deaf := open(t, p.url())
	dev := b.device("d")
	id := b.platformOf(dev)().KeyID
	waitUntil(t, func() bool { return rdb.PubSubNumSub(t.Context(), "lr:bell").Val()["lr:bell"] == 2 })
	p.spoil(never, "lr:bell", -1) // nobody subscribes through it now
	b.must(rdb.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Result())
	secrets(t, deaf, id) // now cached
	b.rotate(dev, id, "new", time.Hour)
	if texts, _ := secrets(t, deaf, id); len(texts) != 1 {
		t.Fatal("a bell came without a subscription")
	}
	p.heal()
	waitUntil(t, func() bool { texts, _ := secrets(t, deaf, id); return len(texts) == 2 })
}

// A Redis that lost everything knows no key: not even one that a replica
// remembers, and which would else seem to be revoked.
func TestTotalLossForgetsKeys(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := newBench(t, open(t, server.URL()))
	id := b.platform()().KeyID
	secrets(t, b.s, id)
	server.Kill()
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, func() bool {
		_, _, err := b.s.Credential(context.Background(), id)
		return errors.Is(err, relay.ErrUnknownKey)
	})
}
