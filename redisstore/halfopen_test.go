package redisstore_test

import (
	"testing"
	"time"

	"linkrelay/internal/redistest"
)

// A subscription whose peer is gone without a word is noticed: bells come again
// long before the backstop would make up for them.
func TestHalfOpenSubscriptionIsNoticed(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := newProxy(t, server.URL())
	b := newBench(t, open(t, p.url()))
	dev := b.device("d")
	api := b.platformOf(dev)
	s := b.connect(dev(), 4)
	b.claim(s, 0)
	drainWake(s)
	silent := make(chan struct{})
	p.after(func() { close(silent) })
	p.spoil(hang, "ping", 1) // the connection says nothing from now on
	select {
	case <-silent:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody probes the subscription")
	}
	b.admit(api(), "k")
	select {
	case <-s.Wake():
	case <-time.After(10 * time.Second):
		t.Fatal("the subscription is dead, and nobody notices")
	}
	b.claim(s, 1)
}
