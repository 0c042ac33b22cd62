package redisstore

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"linkrelay/relay"
)

// Counting takes a bounded room; what does not fit is known to be missing, and a
// write is asked for before that.
func TestUsesAreBounded(t *testing.T) {
	s := &Store{uses: newUses()}
	secret := func(i int) *relay.Credential {
		return &relay.Credential{KeyID: "k", Account: fmt.Sprint("acc", i%3), SecretIDs: []string{fmt.Sprint("k", i, ".1")}}
	}
	asked := func() bool {
		select {
		case <-s.uses.full:
			return true
		default:
			return false
		}
	}
	for i := range usesMax - 1 {
		s.Used(secret(i), 0, time.UnixMilli(int64(i)))
	}
	if asked() {
		t.Error("a write was asked for while there is room")
	}
	s.Used(secret(usesMax-1), 0, time.UnixMilli(1))
	if !asked() {
		t.Error("no write was asked for when there is no room")
	}
	for range 5 {
		s.Used(secret(usesMax), 0, time.UnixMilli(1)) // no room
		s.Used(secret(0), 0, time.UnixMilli(9))       // has its place
	}
	batches, lost := s.uses.take()
	if lost != 5 {
		t.Errorf("%d requests are missing, want 5", lost)
	}
	secrets, times := 0, int64(0)
	for _, b := range batches {
		if len(b.secrets) > usesPerRun || len(b.secrets) != len(b.uses) {
			t.Errorf("a batch of %d and %d", len(b.secrets), len(b.uses))
		}
		for i, u := range b.uses {
			secrets++
			times += u.times
			if u.account != b.account {
				t.Errorf("%s in the batch of %s", u.account, b.account)
			}
			if b.secrets[i] == "k0.1" && (u.times != 6 || u.last != 9) {
				t.Errorf("%+v, want 6 uses and 9", *u)
			}
		}
	}
	if secrets != usesMax || times != usesMax+5 {
		t.Errorf("%d uses of %d secrets", times, secrets)
	}
	if batches, lost := s.uses.take(); len(batches) != 0 || lost != 0 {
		t.Errorf("%d batches and %d lost are left", len(batches), lost)
	}
	s.Used(secret(0), 0, time.UnixMilli(20))
	for _, b := range batches {
		s.uses.giveBack(b)
	}
	_, lost = s.uses.take()
	if lost != 0 { // all fit again: the one counted meanwhile is among them
		t.Errorf("%d were lost on the way back", lost)
	}
}

// Counting is exact under load, also while it is written.
func TestUsesAreCountedOnce(t *testing.T) {
	s := &Store{uses: newUses()}
	c := &relay.Credential{Account: "a", SecretIDs: []string{"k.2", "k.1"}}
	var taken int64
	var mu sync.Mutex
	take := func() {
		batches, _ := s.uses.take()
		mu.Lock()
		defer mu.Unlock()
		for _, b := range batches {
			for _, u := range b.uses {
				taken += u.times
			}
		}
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 5000 {
				s.Used(c, i%2, time.UnixMilli(int64(i)))
				if i%500 == 0 {
					take()
				}
			}
		})
	}
	wg.Wait()
	if take(); taken != 40000 {
		t.Errorf("%d uses were counted, want 40000", taken)
	}
}

// What was read before a change is not remembered after its bell.
func TestCredentialReadBeforeADropIsNotKept(t *testing.T) {
	cc := newCredentialCache()
	old := &relay.Credential{KeyID: "k"}
	for name, drop := range map[string]func(){"of it": func() { cc.drop("k") }, "of all": cc.dropAll} {
		began := cc.drops.Load()
		drop()
		cc.keep("k", old, "text", began)
		if _, known := cc.get("k"); known {
			t.Errorf("after a drop %s it is remembered", name)
		}
	}
	cc.keep("k", old, "text", cc.drops.Load())
	if c, known := cc.get("k"); !known || c.credential != old || c.text != "text" {
		t.Error("it is not remembered")
	}
}
