package config_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"linkrelay/config"
)

// secret stands for whatever must never be printed; every test that puts it
// into a variable asserts that it does not come out.
const secret = "hunter2-Qv9sT"

var sealing = "k1:" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))

// environment replaces every RELAY_ variable for the time of a test.
func environment(t *testing.T, set map[string]string) {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "RELAY_") {
			t.Setenv(name, value) // puts it back afterwards
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, value := range set {
		t.Setenv(name, value)
	}
}

// with returns a valid environment with some variables replaced.
func with(set map[string]string) map[string]string {
	env := map[string]string{"RELAY_REDIS_URL": "redis://127.0.0.1:6379/0", "RELAY_SECRET_KEYS": sealing}
	for name, value := range set {
		env[name] = value
	}
	return env
}

func TestDefaultsAreThoseOfTheContract(t *testing.T) {
	environment(t, with(nil))
	c, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintln(c.Listen, c.AdminListen, c.AdminToken, c.Embedded, c.PlansFile, c.Durability, c.LogLevel,
		c.MaxAttempts, c.MaxSkew, c.Lease, c.Offer, c.Drain, c.AllowPrivateTargets, len(c.TrustedProxies))
	want := fmt.Sprintln("127.0.0.1:8080", "127.0.0.1:9090", config.Secret{}, false, "", "none", "info",
		5, 5*time.Minute, time.Minute, 10*time.Second, 25*time.Second, false, 0)
	if got != want {
		t.Errorf("defaults\n got %s\nwant %s", got, want)
	}
}

func TestEveryVariableIsRead(t *testing.T) {
	environment(t, map[string]string{
		"RELAY_LISTEN": ":18080", "RELAY_ADMIN_LISTEN": "[::1]:0", "RELAY_ADMIN_TOKEN": "0123456789abcdef",
		"RELAY_REDIS_URL": "rediss://u:p@redis.example:6380/2", "RELAY_EMBEDDED": "false",
		"RELAY_SECRET_KEYS": sealing + ", old:" + strings.TrimPrefix(sealing, "k1:"), "RELAY_PLANS_FILE": "plans.json",
		"RELAY_DURABILITY": "fsync", "RELAY_LOG_LEVEL": "debug", "RELAY_MAX_ATTEMPTS": "7", "RELAY_MAX_SKEW": "1m",
		"RELAY_LEASE": "1s", "RELAY_OFFER": "2s", "RELAY_DRAIN": "3s", "RELAY_ALLOW_PRIVATE_TARGETS": "true",
		"RELAY_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.7,2001:db8::/32",
	})
	c, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != ":18080" || c.AdminListen != "[::1]:0" || c.AdminToken.Reveal() != "0123456789abcdef" ||
		c.RedisURL.Reveal() != "rediss://u:p@redis.example:6380/2" || c.PlansFile != "plans.json" || c.Durability != "fsync" ||
		c.LogLevel != "debug" || c.MaxAttempts != 7 || c.MaxSkew != time.Minute || c.Lease != time.Second ||
		c.Offer != 2*time.Second || c.Drain != 3*time.Second || !c.AllowPrivateTargets {
		t.Errorf("a variable was not read: %+v", c)
	}
	if got := strings.Join(c.TrustedProxies, " "); got != "10.0.0.0/8 192.0.2.7 2001:db8::/32" {
		t.Errorf("TrustedProxies = %s", got)
	}
	keys := c.SealingKeys()
	if len(keys) != 2 || keys[0].ID != "k1" || keys[1].ID != "old" || keys[0].Key.Reveal() != "0123456789abcdef0123456789abcdef" {
		t.Errorf("SealingKeys = %v", keys)
	}
}

// envconfig falls back to the name without prefix for fields with a certain
// tag; another program's REDIS_URL must not become ours.
func TestNamesWithoutPrefixAreNotOurs(t *testing.T) {
	environment(t, map[string]string{"RELAY_EMBEDDED": "true", "REDIS_URL": "redis://elsewhere:1/0", "LISTEN": "0.0.0.0:1", "LOG_LEVEL": "debug"})
	c, err := config.Load()
	if err != nil {
		t.Fatal(err)
	}
	if c.RedisURL.Set() || c.Listen != "127.0.0.1:8080" || c.LogLevel != "info" {
		t.Errorf("read a variable without prefix: %+v", c)
	}
}

func TestBadValues(t *testing.T) {
	short := "k1:" + base64.StdEncoding.EncodeToString([]byte(secret))
	tests := map[string]struct {
		set      map[string]string
		variable string // that the fault names
		problem  string // part of the fault's problem
		remedy   string // part of the fault's remedy
	}{
		"duration":                {map[string]string{"RELAY_LEASE": secret}, "RELAY_LEASE", "a text of 13 characters, which is not a duration", "1h30m"},
		"duration without unit":   {map[string]string{"RELAY_LEASE": "60"}, "RELAY_LEASE", "a number of 2 digits, which is not a duration", "a unit"},
		"duration, empty":         {map[string]string{"RELAY_DRAIN": ""}, "RELAY_DRAIN", "an empty text", "unset it"},
		"lease too short":         {map[string]string{"RELAY_LEASE": "999ms"}, "RELAY_LEASE", "999ms, which is not between 1s", "bounds"},
		"offer too short":         {map[string]string{"RELAY_OFFER": "0s"}, "RELAY_OFFER", "not between", "bounds"},
		"skew too long":           {map[string]string{"RELAY_MAX_SKEW": "2h"}, "RELAY_MAX_SKEW", "2h0m0s", "bounds"},
		"drain negative":          {map[string]string{"RELAY_DRAIN": "-1s"}, "RELAY_DRAIN", "-1s", "bounds"},
		"attempts, text":          {map[string]string{"RELAY_MAX_ATTEMPTS": secret}, "RELAY_MAX_ATTEMPTS", "not a whole number", "digits"},
		"attempts, zero":          {map[string]string{"RELAY_MAX_ATTEMPTS": "0"}, "RELAY_MAX_ATTEMPTS", "not between 1 and 100", "default is 5"},
		"bool":                    {map[string]string{"RELAY_ALLOW_PRIVATE_TARGETS": secret}, "RELAY_ALLOW_PRIVATE_TARGETS", "neither true nor false", "true or false"},
		"embedded not a bool":     {map[string]string{"RELAY_EMBEDDED": secret}, "RELAY_EMBEDDED", "neither true nor false", "true or false"},
		"durability":              {map[string]string{"RELAY_DURABILITY": secret}, "RELAY_DURABILITY", "none of its values", "none, replica, fsync"},
		"log level":               {map[string]string{"RELAY_LOG_LEVEL": secret}, "RELAY_LOG_LEVEL", "none of its values", "debug, info, warn, error"},
		"listen without port":     {map[string]string{"RELAY_LISTEN": secret}, "RELAY_LISTEN", "not an address with a port", "127.0.0.1:8080"},
		"listen, port too high":   {map[string]string{"RELAY_LISTEN": ":65536"}, "RELAY_LISTEN", "not an address with a port", "host:port"},
		"listen, a URL":           {map[string]string{"RELAY_LISTEN": "http://" + secret + ":80"}, "RELAY_LISTEN", "not an address with a port", "host:port"},
		"same listeners":          {map[string]string{"RELAY_LISTEN": ":9090"}, "RELAY_ADMIN_LISTEN", "same address and port as RELAY_LISTEN", "different ports"},
		"proxies":                 {map[string]string{"RELAY_TRUSTED_PROXIES": "10.0.0.0/8," + secret}, "RELAY_TRUSTED_PROXIES", "entry 2 of 2", "CIDR"},
		"token too short":         {map[string]string{"RELAY_ADMIN_TOKEN": secret}, "RELAY_ADMIN_TOKEN", "a text of 13 characters, which is shorter than 16", "openssl rand"},
		"token with line break":   {map[string]string{"RELAY_ADMIN_TOKEN": secret + secret + "\n"}, "RELAY_ADMIN_TOKEN", "white space around it", "openssl rand"},
		"redis scheme":            {map[string]string{"RELAY_REDIS_URL": "http://:" + secret + "@host"}, "RELAY_REDIS_URL", "does not begin with redis://", "rediss://"},
		"redis unparsable":        {map[string]string{"RELAY_REDIS_URL": "redis://:" + secret + "%@host:1"}, "RELAY_REDIS_URL", "not a URL", "percent-encoded"},
		"redis, raw hash":         {map[string]string{"RELAY_REDIS_URL": "redis://:" + secret + "#@host:1"}, "RELAY_REDIS_URL", "not a URL", "percent-encoded"},
		"redis without host":      {map[string]string{"RELAY_REDIS_URL": "redis:///" + secret}, "RELAY_REDIS_URL", "names no host", "redis://host:port/db"},
		"redis database":          {map[string]string{"RELAY_REDIS_URL": "redis://host:1/" + secret}, "RELAY_REDIS_URL", "not the number of a database", "/0"},
		"redis missing":           {map[string]string{"RELAY_REDIS_URL": ""}, "RELAY_REDIS_URL", "is not set", "RELAY_EMBEDDED=true"},
		"redis and embedded":      {map[string]string{"RELAY_EMBEDDED": "true"}, "RELAY_EMBEDDED", "RELAY_REDIS_URL is set", "unset RELAY_EMBEDDED"},
		"keys missing":            {map[string]string{"RELAY_SECRET_KEYS": ""}, "RELAY_SECRET_KEYS", "is not set", "openssl rand -base64 32"},
		"keys without id":         {map[string]string{"RELAY_SECRET_KEYS": sealing + "," + secret}, "RELAY_SECRET_KEYS", "entry 2 of 2 has no colon", "openssl rand -base64 32"},
		"keys not base64":         {map[string]string{"RELAY_SECRET_KEYS": "k1:" + secret}, "RELAY_SECRET_KEYS", "not base64", "openssl rand -base64 32"},
		"keys too short":          {map[string]string{"RELAY_SECRET_KEYS": short}, "RELAY_SECRET_KEYS", "13 bytes instead of 32", "openssl rand -base64 32"},
		"keys with a bad id":      {map[string]string{"RELAY_SECRET_KEYS": secret + "!" + sealing}, "RELAY_SECRET_KEYS", "an id that is not", "id:key"},
		"keys with one id twice":  {map[string]string{"RELAY_SECRET_KEYS": sealing + "," + sealing}, "RELAY_SECRET_KEYS", "repeats the id", "id:key"},
		"typing mistake":          {map[string]string{"RELAY_REDIS_ULR": secret}, "RELAY_REDIS_ULR", "is not a setting", "RELAY_REDIS_URL?"},
		"wrong case":              {map[string]string{"RELAY_lease": secret}, "RELAY_lease", "is not a setting", "RELAY_LEASE?"},
		"nothing like a setting":  {map[string]string{"RELAY_FROBNICATION": secret}, "RELAY_FROBNICATION", "is not a setting", "README"},
		"port as in other tools":  {map[string]string{"RELAY_PORT": "8080"}, "RELAY_PORT", "is not a setting", "unset it"},
		"everybody a proxy":       {map[string]string{"RELAY_TRUSTED_PROXIES": "10.0.0.0/8,0.0.0.0/0"}, "RELAY_TRUSTED_PROXIES", "every address", "name the networks"},
		"missing a letter":        {map[string]string{"RELAY_TRUSTED_PROXY": "10.0.0.1"}, "RELAY_TRUSTED_PROXY", "is not a setting", "RELAY_TRUSTED_PROXIES?"},
		"keys, embedded as well":  {map[string]string{"RELAY_REDIS_URL": "", "RELAY_EMBEDDED": "true", "RELAY_SECRET_KEYS": "k1:" + secret}, "RELAY_SECRET_KEYS", "not base64", "openssl"},
		"listen, host with slash": {map[string]string{"RELAY_LISTEN": "a/" + secret + ":80"}, "RELAY_LISTEN", "not an address", "host:port"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			environment(t, with(tt.set))
			_, err := config.Load()
			faults, ok := errors.AsType[config.Errors](err)
			if !ok {
				t.Fatalf("Load: %v, want config.Errors", err)
			}
			if len(faults) != 1 {
				t.Fatalf("%d faults, want the one: %v", len(faults), faults)
			}
			f := faults[0]
			if f.Variable != tt.variable || !strings.Contains(f.Problem, tt.problem) || !strings.Contains(f.Remedy, tt.remedy) {
				t.Errorf("got %+v\nwant %s: …%s… remedy …%s…", f, tt.variable, tt.problem, tt.remedy)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error shows the value: %v", err)
			}
		})
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	environment(t, map[string]string{"RELAY_LEASE": "x", "RELAY_OFFER": "y", "RELAY_DRIAN": "5s", "RELAY_ADMIN_TOKEN": "short", "RELAY_LOG_LEVEL": "loud"})
	_, err := config.Load()
	for _, variable := range []string{"RELAY_LEASE", "RELAY_OFFER", "RELAY_DRIAN", "RELAY_ADMIN_TOKEN", "RELAY_LOG_LEVEL", "RELAY_REDIS_URL", "RELAY_SECRET_KEYS"} {
		if !strings.Contains(fmt.Sprint(err), "\n  "+variable+" ") {
			t.Errorf("%s is missing from: %v", variable, err)
		}
	}
}

func TestVariablesOfOthersAreNoMistakes(t *testing.T) {
	environment(t, with(map[string]string{
		"RELAY_ADMIN_URL":                "http://127.0.0.1:1",
		"RELAY_DESKTOP_ANYTHING":         "x",
		"RELAY_SERVICE_HOST":             "10.0.0.1", // Kubernetes, for a Service named relay
		"RELAY_SERVICE_PORT":             "8080",
		"RELAY_SERVICE_PORT_HTTP":        "8080",
		"RELAY_PORT":                     "tcp://10.0.0.1:8080",
		"RELAY_PORT_8080_TCP":            "tcp://10.0.0.1:8080",
		"RELAY_PORT_8080_TCP_ADDR":       "10.0.0.1",
		"RELAY_ADMIN_SERVICE_PORT":       "9090", // and one named relay-admin
		"RELAY_ADMIN_PORT_9090_TCP_PORT": "9090",
	}))
	if _, err := config.Load(); err != nil {
		t.Error(err)
	}
}

func TestOperator(t *testing.T) {
	environment(t, map[string]string{"RELAY_REDIS_URL": "ignored by these commands"})
	if o, err := config.LoadOperator(); err != nil || o.AdminURL != "http://127.0.0.1:9090" || o.AdminToken.Set() {
		t.Errorf("LoadOperator = %+v, %v", o, err)
	}
	environment(t, map[string]string{"RELAY_ADMIN_URL": "http://u:" + secret + "@h", "RELAY_ADMIN_TOKEN": secret, "RELAY_ADMIN_ULR": secret})
	_, err := config.LoadOperator()
	faults, _ := errors.AsType[config.Errors](err)
	if len(faults) != 3 || strings.Contains(err.Error(), secret) {
		t.Errorf("LoadOperator: %v, want three faults without values", err)
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	s := config.NewSecret(secret)
	type holder struct {
		Open   config.Secret
		hidden config.Secret
		nested *config.Secret
	}
	c := config.Config{AdminToken: s, RedisURL: s, SecretKeys: s}
	asJSON, err := json.Marshal(map[string]any{"config": c, "secret": s, "key": config.SealingKey{ID: "k", Key: s}})
	if err != nil {
		t.Fatal(err)
	}
	printed := string(asJSON)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%T", "%10.3s"} {
		printed += fmt.Sprintf(verb, s) + fmt.Sprintf(verb, &s) + fmt.Sprintf(verb, c) + fmt.Sprintf(verb, &c) +
			fmt.Sprintf(verb, holder{s, s, &s}) + fmt.Sprintf(verb, []config.SealingKey{{ID: "k", Key: s}})
	}
	if strings.Contains(printed, secret) || strings.Contains(strings.ToLower(printed), fmt.Sprintf("%x", secret)) {
		t.Errorf("a secret was printed: %s", printed)
	}
	if s.String() != "[redacted]" || (config.Secret{}).String() != "" || s.Reveal() != secret {
		t.Error("a secret must show that it is there, and be there for who asks")
	}
}
