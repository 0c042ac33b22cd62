package redisstore

import (
	"strings"
	"testing"
)

// The names are what a running deployment has in its Redis: changing one loses
// what is stored under it.
func TestNamesInRedis(t *testing.T) {
	a := accountKeys("acc_1")
	for _, tc := range []struct{ what, got, want string }{
		{"account", a.account(), "lr:{acc_1}"},
		{"stream", a.stream(), "lr:{acc_1}:s"},
		{"due", a.due(), "lr:{acc_1}:d"},
		{"events", a.events(), "lr:{acc_1}:e"},
		{"dead letters", a.dead(), "lr:{acc_1}:x"},
		{"inventory of keys", a.keyInventory(), "lr:{acc_1}:k"},
		{"inventory of devices", a.devices(), "lr:{acc_1}:v"},
		{"job", a.job("0123456789abcdef"), "lr:{acc_1}:j:0123456789abcdef"},
		{"nonce", a.nonce("lp_live_x", "nonce"), "lr:{acc_1}:n:niAExgUCmQUxBfAH"},
		{"link marker", a.linkMarker("hash"), "lr:{acc_1}:l:hash"},
		{"uses of secrets", a.uses(), "lr:{acc_1}:u"},
		{"single-use signature", a.once("lp_live_x", "signed"), "lr:{acc_1}:n:LdEMn2z-kvDAf7z4"},
		{"credential", a.credential("lp_live_x"), "lr:{acc_1}:c:lp_live_x"},
		{"owner of a key", keyOwner("lp_live_x"), "lr:key:lp_live_x"},
		{"an account as an owner", a.owner(), "{acc_1}"},
		{"link code", linkCodeKey("hash"), "lr:link:hash"},
		{"bell", bellChannel, "lr:bell"},
		{"group", group, "relay"},
		{"life", strings.Join(a.life("more"), " "), "lr:{acc_1} lr:{acc_1}:s lr:{acc_1}:d lr:{acc_1}:e lr:{acc_1}:x lr:{acc_1}:r more"},
		{"hash of a lease", tokenHash("token"), "SEJrUn8FRKoocYuP-aOSTI"},
		{"hash of a link code", codeHash("ABCD"), "o0g9iOteh1E_vNNO8OyVRAlgJEIqV_fa"},
	} {
		if tc.got != tc.want {
			t.Errorf("%s is %q, want %q", tc.what, tc.got, tc.want)
		}
	}
}

// No two of an account's names meet, whatever ids and hashes are put in, nor do
// those of an account whose id starts like another's.
func TestNamesDoNotMeet(t *testing.T) {
	seen := map[string]string{}
	for _, id := range []string{"a", "a-b", "ab", "s", "key", "bell"} {
		a := accountKeys(id)
		for _, name := range append(a.life(), a.keyInventory(), a.devices(), a.job("s"), a.nonce("s", "s"), a.once("s", "s"), a.linkMarker("s"), a.uses(), a.credential("s")) {
			if other, taken := seen[name]; taken {
				t.Errorf("%q is a name of account %q and of %q", name, id, other)
			}
			seen[name] = id
			if !strings.HasPrefix(name, "lr:{"+id+"}") {
				t.Errorf("%q does not carry the account's hash tag", name)
			}
		}
	}
	if accountKeys("a").nonce("k", "nn") == accountKeys("a").nonce("kn", "n") {
		t.Error("the border between key id and nonce can be moved")
	}
}

func TestRefOfAJobsKey(t *testing.T) {
	if got := refOf(accountKeys("a").job("0123456789abcdef")); got != "0123456789abcdef" {
		t.Errorf("ref %q", got)
	}
	for _, short := range []string{"", "x", "0123456789abcdef"} {
		if got := refOf(short); got != short {
			t.Errorf("ref of %q is %q", short, got)
		}
	}
}
