package redisstore_test

import (
	"testing"

	"linkrelay/redisstore"
	"linkrelay/relay"
)

// All replies of a key's creation are lost. The identical request, sent again,
// comes with another key, for each is made when it is asked for: it is refused,
// rather than answered with a key that is not there.
func TestLostKeyIsNotTakenForAnother(t *testing.T) {
	t.Parallel()
	b := newSpoilt(t)
	dev := b.device("d")
	c := dev()
	create := func() (relay.Key, error) {
		return b.s.CreateKey(t.Context(), c, relay.KeySpec{ID: "lp_live_" + relay.RandomText(16), Secret: "secret", Name: "k",
			Environment: relay.Live, Schemes: []relay.Scheme{relay.SchemeLinkPeeler}, Scopes: relay.DefaultScopes})
	}
	b.p.spoil(cut, redisstore.ScriptSHA("key"), 2)
	wantCode(t, b.err(create()), relay.StoreUnavailable)
	wantCode(t, b.err(create()), relay.NonceReplayed)
	inv, err := b.s.KeyInventory(t.Context(), dev())
	b.must(inv, err)
	if len(inv.Keys) != 1 {
		t.Fatalf("%d keys, want the one whose answer was lost", len(inv.Keys))
	}
	b.must(b.s.FreshCredential(t.Context(), inv.Keys[0].ID))

	c = dev()
	b.p.spoil(cut, redisstore.ScriptSHA("key"), 2)
	wantCode(t, b.err(b.s.RevokeKey(t.Context(), c, inv.Keys[0].ID)), relay.StoreUnavailable)
	after, err := b.s.RevokeKey(t.Context(), c, inv.Keys[0].ID) // the identical request
	b.must(after, err)
	if len(after.Keys) != 0 {
		t.Errorf("%d keys are left", len(after.Keys))
	}
}

// A nonce whose reply was lost serves no second purpose: it does not seem to
// revoke another key, nor make another job.
func TestLostNonceServesNoSecondPurpose(t *testing.T) {
	t.Parallel()
	b := newSpoilt(t)
	dev := b.device("d")
	one, two := b.platformOf(dev)().KeyID, b.platformOf(dev)().KeyID
	c := dev()
	b.p.spoil(cut, redisstore.ScriptSHA("key"), 2)
	wantCode(t, b.err(b.s.RevokeKey(t.Context(), c, one)), relay.StoreUnavailable)
	wantCode(t, b.err(b.s.RevokeKey(t.Context(), c, two)), relay.NonceReplayed)

	c = b.caller(two, "")
	b.p.spoil(cut, redisstore.ScriptSHA("admit"), 2)
	wantCode(t, b.err(b.s.Admit(t.Context(), c, request("one"))), relay.StoreUnavailable)
	wantCode(t, b.err(b.s.Admit(t.Context(), c, request("two"))), relay.NonceReplayed)
	wantCode(t, b.err(b.s.Quota(t.Context(), c)), relay.NonceReplayed)
	b.must(b.s.Admit(t.Context(), c, request("one"))) // the identical request
	if got := b.traces(b.rdb); got != oneJob {
		t.Errorf("it left %+v", got)
	}
}
