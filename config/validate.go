package config

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SealingKey is a key that seals secrets at rest.
type SealingKey struct {
	ID  string
	Key Secret // 32 raw bytes
}

// MinAdminToken is the least length of the operators' token, in characters.
const MinAdminToken = 16

const sealingKeyBytes = 32

func (c *Config) validate(f *faults) {
	f.address("RELAY_LISTEN", c.Listen)
	f.address("RELAY_ADMIN_LISTEN", c.AdminListen)
	if collide(c.Listen, c.AdminListen) {
		f.add("RELAY_ADMIN_LISTEN", "names the same address and port as RELAY_LISTEN", "give the two listeners different ports")
	}
	f.token("RELAY_ADMIN_TOKEN", c.AdminToken)
	c.validateStore(f)
	f.upTo("RELAY_MAX_SKEW", c.MaxSkew, time.Hour)
	f.upTo("RELAY_LEASE", c.Lease, time.Hour)
	f.upTo("RELAY_OFFER", c.Offer, 10*time.Minute)
	f.upTo("RELAY_DRAIN", c.Drain, 10*time.Minute)
	if c.MaxAttempts < 1 || c.MaxAttempts > 100 {
		f.shaped("RELAY_MAX_ATTEMPTS", "which is not between 1 and 100", "choose a number from 1 to 100; the default is 5")
	}
	f.oneOf("RELAY_DURABILITY", c.Durability, "none", "replica", "fsync")
	f.oneOf("RELAY_LOG_LEVEL", c.LogLevel, "debug", "info", "warn", "error")
	for i, p := range c.TrustedProxies {
		if !isNetwork(p) {
			f.shaped("RELAY_TRUSTED_PROXIES", fmt.Sprintf("of which entry %d of %d is not an address or network", i+1, len(c.TrustedProxies)),
				"write addresses or networks in CIDR form, such as 10.0.0.0/8,192.0.2.7, separated by commas")
		} else if everywhere(p) {
			f.shaped("RELAY_TRUSTED_PROXIES", fmt.Sprintf("of which entry %d of %d is every address there is: any caller could claim any address", i+1, len(c.TrustedProxies)),
				"name the networks that the proxies in front are in")
		}
	}
}

// validateStore checks what decides where the data lives. serve never falls
// back to the embedded store by itself: it would forget every job.
func (c *Config) validateStore(f *faults) {
	if f.has("RELAY_EMBEDDED") {
		return
	}
	switch {
	case c.Embedded && c.RedisURL.Set():
		f.add("RELAY_EMBEDDED", "is true while RELAY_REDIS_URL is set, and only one of them can hold the jobs", "unset RELAY_EMBEDDED to use that Redis, or unset RELAY_REDIS_URL to try it out without one")
	case !c.Embedded && !c.RedisURL.Set():
		f.add("RELAY_REDIS_URL", "is not set", "set RELAY_REDIS_URL, such as redis://127.0.0.1:6379/0; or, to try it out without Redis and without keeping anything, set RELAY_EMBEDDED=true")
	}
	f.redisURL("RELAY_REDIS_URL", c.RedisURL.Reveal())
	if !c.Embedded && !c.SecretKeys.Set() {
		f.add("RELAY_SECRET_KEYS", "is not set, and secrets are kept in Redis only sealed", `make a key once and keep it safe: RELAY_SECRET_KEYS="k1:$(openssl rand -base64 32)"`)
	}
	if _, problem := parseSealingKeys(c.SecretKeys.Reveal()); problem != "" {
		f.shaped("RELAY_SECRET_KEYS", problem, "write id:key entries separated by commas, each key from: openssl rand -base64 32")
	}
}

func (o *Operator) validate(f *faults) {
	if !IsAdminURL(o.AdminURL) {
		f.shaped("RELAY_ADMIN_URL", "which is not an http or https address without user name", "write the address of the operators' listener, such as http://127.0.0.1:9090")
	}
	f.token("RELAY_ADMIN_TOKEN", o.AdminToken)
}

// IsAdminURL reports whether a text can be the address of an operators'
// listener: http or https, a host, and no user name, since the token is what
// identifies an operator.
func IsAdminURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// SealingKeys returns the keys of SecretKeys, the one that seals first; none
// when it is not set.
func (c *Config) SealingKeys() []SealingKey {
	keys, _ := parseSealingKeys(c.SecretKeys.Reveal())
	return keys
}

var keyID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// parseSealingKeys returns the keys, or what is wrong with them. It names
// entries by their place: even an id may be a misplaced secret.
func parseSealingKeys(text string) (keys []SealingKey, problem string) {
	if text == "" {
		return nil, ""
	}
	entries := strings.Split(text, ",")
	for i, entry := range entries {
		at := fmt.Sprintf("of which entry %d of %d ", i+1, len(entries))
		id, encoded, found := strings.Cut(strings.TrimSpace(entry), ":")
		key, err := base64.StdEncoding.DecodeString(encoded)
		switch {
		case !found:
			return nil, at + "has no colon between id and key"
		case !keyID.MatchString(id):
			return nil, at + "has an id that is not 1 to 32 of letters, digits, _ and -"
		case err != nil:
			return nil, at + "has a key that is not base64"
		case len(key) != sealingKeyBytes:
			return nil, at + fmt.Sprintf("has a key of %d bytes instead of %d", len(key), sealingKeyBytes)
		case slices.ContainsFunc(keys, func(k SealingKey) bool { return k.ID == id }):
			return nil, at + "repeats the id of an earlier one"
		}
		keys = append(keys, SealingKey{ID: id, Key: NewSecret(string(key))})
	}
	return keys, ""
}

func (f *faults) redisURL(name, text string) {
	if text == "" {
		return
	}
	u, err := url.Parse(text) // its error holds the URL, and so the password
	switch {
	case err != nil:
		f.shaped(name, "which is not a URL", "write redis://user:password@host:port/db, with the password's special characters percent-encoded")
	case u.Scheme != "redis" && u.Scheme != "rediss":
		f.shaped(name, "which does not begin with redis:// or rediss://", "write redis://host:port/db, or rediss:// for TLS")
	case u.Hostname() == "":
		f.shaped(name, "which names no host", "write redis://host:port/db")
	case strings.Trim(u.Path, "/0123456789") != "":
		f.shaped(name, "whose path is not the number of a database", "end it with the port, or with /0 or another number")
	}
}

func (f *faults) address(name, text string) {
	host, port, err := net.SplitHostPort(text)
	_, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || strings.ContainsAny(host, " /@") {
		f.shaped(name, "which is not an address with a port", "write host:port, such as 127.0.0.1:8080, or :8080 for every interface")
	}
}

// collide reports whether two valid listen addresses cannot be had together.
// Port 0 takes any free port, so it collides with nothing.
func collide(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	every := func(host string) bool { return host == "" || host == "0.0.0.0" || host == "::" }
	return hostA == hostB || every(hostA) || every(hostB)
}

func (f *faults) token(name string, s Secret) {
	const remedy = "make one with: openssl rand -hex 24"
	switch text := s.Reveal(); {
	case text == "":
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
		f.shaped(name, "some of which cannot stand in an HTTP header", remedy)
	case len(text) < MinAdminToken:
		f.shaped(name, fmt.Sprintf("which is shorter than %d", MinAdminToken), remedy)
	}
}

// upTo wants a duration from one second to most. Less than a second is below
// what clocks and networks can be trusted with.
func (f *faults) upTo(name string, d, most time.Duration) {
	const least = time.Second
	if d < least || d > most {
		f.add(name, fmt.Sprintf("holds a duration of %v, which is not between %v and %v", d, least, most), "choose one between those bounds, or unset it for the default")
	}
}

func (f *faults) oneOf(name, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		f.shaped(name, "which is none of its values", "write one of: "+strings.Join(allowed, ", "))
	}
}

func everywhere(network string) bool {
	p, err := netip.ParsePrefix(network)
	return err == nil && p.Bits() == 0
}

func isNetwork(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	_, err := netip.ParsePrefix(s)
	return err == nil
}
