package e2e_test

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"linkrelay/client"
	"linkrelay/relay"
	"linkrelay/signature"
)

// footprint is everything that Redis holds, and what it was asked to do.
type footprint struct {
	Keys     map[string]string // type and content
	Changes  string            // writes since the server started, by its own count
	commands map[string]string // calls of each command
}

func (w *world) footprint() footprint {
	w.t.Helper()
	ctx, c := w.t.Context(), w.redis.Client(w.t)
	f := footprint{Keys: map[string]string{}, commands: map[string]string{}}
	scan := c.Scan(ctx, 0, "", 1000).Iterator()
	for scan.Next(ctx) {
		name := scan.Val()
		pipe := c.Pipeline()
		kind, content := pipe.Type(ctx, name), pipe.Dump(ctx, name)
		if _, err := pipe.Exec(ctx); err != nil {
			w.t.Fatal(err)
		}
		f.Keys[name] = kind.Val() + " " + content.Val()
	}
	if size := c.DBSize(ctx).Val(); scan.Err() != nil || size != int64(len(f.Keys)) {
		w.t.Fatalf("scanned %d keys of %d: %v", len(f.Keys), size, scan.Err())
	}
	f.Changes = info(w.t, c, "persistence", `rdb_changes_since_last_save:(\d+)`)[0][1]
	for _, m := range info(w.t, c, "commandstats", `cmdstat_(\S+?):calls=(\d+)`) {
		f.commands[m[1]] = m[2]
	}
	return f
}

func info(t *testing.T, c *redis.Client, section, pattern string) [][]string {
	t.Helper()
	text, err := c.Info(t.Context(), section).Result()
	found := regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1)
	if err != nil || len(found) == 0 {
		t.Fatalf("INFO %s: %v\n%s", section, err, text)
	}
	return found
}

// flaw makes a badly signed request, and says how it is refused.
type flaw struct {
	code relay.Code
	make func() request
}

// flaws are the ways to sign badly: k is a good key, and other signs as it
// without its secret.
func flaws(k key) map[string]flaw {
	other := key{k.id, signature.NewSecret()}
	body := jobBody("order", somewhere)
	mistyped := func(id string) string { // one character of the id, so that its checksum is wrong
		last := byte('A')
		if id[len(id)-1] == last {
			last = 'B'
		}
		return id[:len(id)-1] + string(last)
	}
	read := func(k key) request { return k.call(http.MethodGet, "/api/links/quota", "") }
	return map[string]flaw{
		"unknown key": {relay.SignatureInvalid, func() request {
			return key{signature.NewKeyID(signature.KindLive), k.secret}.fetch(body)
		}},
		"unknown key, reading": {relay.SignatureInvalid, func() request {
			return read(key{signature.NewKeyID(signature.KindTest), k.secret})
		}},
		"unknown device": {relay.SignatureInvalid, func() request {
			return key{signature.NewKeyID(signature.KindDevice), k.secret}.call(http.MethodGet, "/api/desktop/jobs/stream", "")
		}},
		"mistyped key":    {relay.SignatureInvalid, func() request { return key{mistyped(k.id), k.secret}.fetch(body) }},
		"wrong secret":    {relay.SignatureInvalid, func() request { return other.fetch(body) }},
		"wrong secret v2": {relay.SignatureInvalid, func() request { return read(other) }},
		"tampered body": {relay.SignatureInvalid, func() request {
			r := k.fetch(body)
			r.body = strings.Replace(r.body, "newsletter", "newsLetter", 1)
			return r
		}},
		"tampered target": {relay.SignatureInvalid, func() request {
			r := read(k)
			r.target = "/api/links/jobs?idempotencyKey=order"
			return r
		}},
		"tampered method": {relay.SignatureInvalid, func() request {
			r := k.call(http.MethodGet, "/api/links/jobs/job_0123456789ABCDEFabc", "")
			r.method = http.MethodDelete
			return r
		}},
		"stale": {relay.TimestampOutOfWindow, func() request {
			return k.fetchAt(time.Now().Add(-time.Hour), signature.NewNonce(), body)
		}},
		"from the future": {relay.TimestampOutOfWindow, func() request {
			return k.fetchAt(time.Now().Add(time.Hour), signature.NewNonce(), body)
		}},
		"no nonce":            {relay.HeaderMissing, func() request { return k.fetch(body).with(signature.HeaderNonce, "") }},
		"short nonce":         {relay.HeaderMalformed, func() request { return k.fetch(body).with(signature.HeaderNonce, "short") }},
		"milliseconds":        {relay.HeaderMalformed, func() request { return k.fetch(body).with(signature.HeaderTimestamp, "1700000000000") }},
		"no hex":              {relay.HeaderMalformed, func() request { return k.fetch(body).with(signature.HeaderSignature, strings.Repeat("zz", 32)) }},
		"v1 where v2 must be": {relay.HeaderMalformed, func() request { return request{http.MethodGet, "/api/links/quota", k.fetch("").header, ""} }},
	}
}

// Ten thousand badly signed requests, from as many addresses, leave no trace in
// Redis: nothing is written before a signature verified (DESIGN §2.4). All that
// do not verify get one and the same answer.
func TestBadSignaturesWriteNothing(t *testing.T) {
	w := newWorld(t, 2, "RELAY_TRUSTED_PROXIES=127.0.0.1")
	a := w.account("")
	k := a.link("desktop").key(client.KeySpec{})
	for _, r := range w.replicas { // both have seen the good key
		if got := send(t, r.public, k.fetch(jobBody("good", somewhere))); got.status != http.StatusAccepted {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	eventually(t, "both uses of the good key are written", func() bool {
		return strings.Contains(w.command("key", "list", a.id, "--json"), `"uses": 2`)
	})
	before := w.footprint()

	const requests, senders = 10_000, 8
	flaws := flaws(k)
	names := slices.Sorted(maps.Keys(flaws))
	var mu sync.Mutex
	refusals := map[string]int{} // bodies of signature_invalid, request ids apart
	var all sync.WaitGroup
	for sender := range senders {
		all.Go(func() {
			for i := sender; i < requests && !t.Failed(); i += senders {
				flaw := flaws[names[i%len(names)]]
				address := fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255) // too few from each to be throttled
				a := send(t, w.public(), flaw.make().with("X-Forwarded-For", address))
				if want := relay.NewError(flaw.code, "").Status; a.status != want || !strings.Contains(string(a.body), `"code":"`+string(flaw.code)+`"`) {
					t.Errorf("%s: %d %s, want %d %s", names[i%len(names)], a.status, a.body, want, flaw.code)
				}
				if flaw.code == relay.SignatureInvalid {
					mu.Lock()
					refusals[strings.ReplaceAll(string(a.body), a.header.Get("X-Request-Id"), "")]++
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()

	after := w.footprint()
	if diff := cmp.Diff(before, after, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".commands" }, cmp.Ignore())); diff != "" {
		t.Errorf("Redis holds something else than before:\n%s", diff)
	}
	ours := []string{"scan", "type", "dump", "dbsize", "info"} // of footprint itself
	harmless := []string{"get", "ping", "hello"}
	for name, calls := range after.commands {
		if calls != before.commands[name] && !slices.Contains(append(ours, harmless...), name) {
			t.Errorf("Redis ran %s: %s calls before, %s after", name, before.commands[name], calls)
		}
	}
	if len(refusals) != 1 {
		t.Errorf("%d different answers where no signature verified, want one: %v", len(refusals), refusals)
	}
}

// A throttle holds off who fails too often, by address and key; a good key
// behind the same address is not held off.
func TestFailuresAreThrottled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	d := w.account("").link("desktop")
	good, abused := d.key(client.KeySpec{}), d.key(client.KeySpec{})
	base := w.replicas[0].public
	pass := func(when string) {
		t.Helper()
		if a := send(t, base, good.call(http.MethodGet, "/api/links/quota", "")); a.status != http.StatusOK {
			t.Errorf("%s: a good key got %d %s", when, a.status, a.body)
		}
	}
	pass("before")
	guesses := map[string]func() request{
		"guessing a secret":  func() request { return key{abused.id, signature.NewSecret()}.fetch(jobBody("x", somewhere)) },
		"guessing key names": func() request { return key{signature.NewKeyID(signature.KindLive), good.secret}.fetch("{}") },
	}
	for name, guess := range guesses {
		held := false
		for range 300 {
			a := send(t, base, guess())
			if held = a.status == http.StatusTooManyRequests; held {
				refused(t, a, relay.FailedAuthThrottled)
				break
			}
			refused(t, a, relay.SignatureInvalid)
		}
		if !held {
			t.Errorf("%s: 300 attempts at once were not held off", name)
		}
		pass(name)
	}
}
