package redisstore_test

import (
	"testing"

	"linkrelay/relay"
)

// A script that a hung Redis runs after the relay gave it up does nothing: the
// identical request is then taken by any other replica, and by the same one.
func TestWhatComesTooLateIsNotRun(t *testing.T) {
	t.Parallel()
	server := durable(t)
	b := newBench(t, open(t, server.URL()))
	other := open(t, server.URL())
	dev := b.device("d")
	api := b.platformOf(dev)
	job := b.admit(api(), "before")
	admission, cancelling, reading := api(), api(), api()
	server.Pause()
	wantCode(t, b.err(b.s.Admit(t.Context(), admission, request("k"))), relay.StoreUnavailable)
	wantCode(t, b.err(b.s.Cancel(t.Context(), cancelling, job.ID)), relay.StoreUnavailable)
	wantCode(t, b.err(b.s.Quota(t.Context(), reading)), relay.StoreUnavailable)
	server.Resume()
	waitUntil(t, func() bool { return b.s.Ping(t.Context()) == nil && other.Ping(t.Context()) == nil })

	q, err := other.Quota(t.Context(), reading)
	b.must(q, err)
	if q.Windows[1].Used != 1 || q.Backlog.Waiting != 1 {
		t.Errorf("what was given up left %+v", q)
	}
	a, err := other.Admit(t.Context(), admission, request("k"))
	b.must(a, err)
	if a.Replayed {
		t.Error("the refused request had made a job")
	}
	wantCode(t, b.err(b.s.Admit(t.Context(), admission, request("k"))), relay.NonceReplayed)
	b.must(other.Cancel(t.Context(), cancelling, job.ID))
}
