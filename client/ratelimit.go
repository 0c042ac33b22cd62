package client

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"linkrelay/relay"
)

// rateLimit reads the RateLimit-Policy and RateLimit fields of
// draft-ietf-httpapi-ratelimit-headers, both lists of named items with
// parameters (RFC 9651): q limit and w window seconds in the one, r remaining
// and t seconds until reset in the other. Items it cannot read are left out.
func rateLimit(h http.Header) []relay.Window {
	state := map[string]map[string]int64{}
	for _, i := range items(h, "RateLimit") {
		state[i.name] = i.params
	}
	var windows []relay.Window
	for _, policy := range items(h, "RateLimit-Policy") {
		now, ok := state[policy.name]
		if !ok {
			continue
		}
		windows = append(windows, relay.Window{
			Name:      policy.name,
			Limit:     policy.params["q"],
			Used:      max(0, policy.params["q"]-now["r"]),
			Remaining: now["r"],
			Reset:     time.Duration(now["t"]) * time.Second,
			ResetSecs: now["t"],
			Length:    time.Duration(policy.params["w"]) * time.Second,
		})
	}
	return windows
}

type item struct {
	name   string
	params map[string]int64
}

// items splits a list field. The names of windows are plain words, so a comma
// or semicolon inside a quoted name is not looked for.
func items(h http.Header, field string) []item {
	var out []item
	for _, text := range strings.Split(strings.Join(h.Values(field), ","), ",") {
		name, rest, _ := strings.Cut(strings.TrimSpace(text), ";")
		if name = strings.Trim(name, `"`); name == "" {
			continue
		}
		params := map[string]int64{}
		for _, p := range strings.Split(rest, ";") {
			key, value, _ := strings.Cut(strings.TrimSpace(p), "=")
			if n, err := strconv.ParseInt(value, 10, 32); err == nil && n >= 0 {
				params[key] = n
			}
		}
		out = append(out, item{name, params})
	}
	return out
}
