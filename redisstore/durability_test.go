package redisstore_test

import (
	"net"
	"testing"

	"linkrelay/internal/redistest"
	"linkrelay/redisstore"
	"linkrelay/relay"
)

// With durability replica a 202 waits for a replica's word. Without it the
// caller is told to come again, and the identical request finds its job.
func TestAdmissionWaitsForAReplica(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	host, port, err := net.SplitHostPort(primary.Addr)
	if err != nil {
		t.Fatal(err)
	}
	replica := redistest.Start(t, "--replicaof", host+" "+port, "--repl-diskless-sync-delay", "0")
	b := newBench(t, open(t, primary.URL(), func(o *redisstore.Options) { o.Durability = redisstore.DurabilityReplica }))
	api := b.platform()
	rdb := primary.Client(t)
	inSync := func() bool { n, err := rdb.Wait(t.Context(), 1, 100).Result(); return err == nil && n == 1 }
	b.must(rdb.Set(t.Context(), "something", "to wait for", 0).Result())
	waitUntil(t, inSync)
	b.admit(api(), "confirmed")

	replica.Pause()
	c := api()
	wantCode(t, b.err(b.s.Admit(t.Context(), c, request("k"))), relay.DurabilityUnconfirmed)
	wantCode(t, b.err(b.s.Admit(t.Context(), c, request("k"))), relay.DurabilityUnconfirmed) // found, and still nobody's word
	replica.Resume()
	waitUntil(t, inSync)
	a, err := b.s.Admit(t.Context(), c, request("k"))
	b.must(a, err)
	if a.Replayed {
		t.Error("the request's own job was answered as another's")
	}
	q, err := b.s.Quota(t.Context(), api())
	b.must(q, err)
	if q.Windows[1].Used != 2 || q.Backlog.Waiting != 2 {
		t.Errorf("two jobs left %+v", q)
	}
}
