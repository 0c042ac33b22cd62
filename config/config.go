// Package config is what an operator can set: one struct, read from RELAY_…
// environment variables, validated, documented beside its defaults and
// redacted wherever it is printed.
//
// The names are part of CONTRACT §7: deployments depend on them.
package config

import (
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/kelseyhightower/envconfig"
)

const prefix = "RELAY"

// Config is what `linkrelay serve` runs with. A value that Load returned is
// valid. Its README table is generated from the tags below.
//
// No field has an `envconfig` tag on purpose: it would make envconfig fall back
// to the name without prefix, and somebody's REDIS_URL would become ours.
type Config struct {
	Listen      string        `split_words:"true" default:"127.0.0.1:8080" desc:"Address and port of the public listener, for platforms and desktops."`
	AdminListen string        `split_words:"true" default:"127.0.0.1:9090" desc:"Address and port of the operators' listener: metrics, probes, console, admin API. Keep it off the internet."`
	AdminToken  Secret        `split_words:"true" desc:"Bearer token of the admin API, at least 16 characters. The admin API is off without one."`
	RedisURL    Secret        `split_words:"true" desc:"Where the Redis is: redis://[user:password@]host:port/db, or rediss:// for TLS. Required unless RELAY_EMBEDDED=true."`
	Embedded    bool          `split_words:"true" default:"false" desc:"true keeps everything in this process and forgets it at the end: for trying it out and for tests, never for production."`
	SecretKeys  Secret        `split_words:"true" desc:"Keys that seal secrets at rest, as id:base64-of-32-bytes, separated by commas. The first seals; the others still open what they sealed. Required with RELAY_REDIS_URL."`
	PlansFile   string        `split_words:"true" desc:"JSON file of plans. Built-in plans (free, pro, business) without one."`
	Durability  string        `split_words:"true" default:"none" desc:"What a 202 waits for: none (Redis took it), replica (one replica has it), fsync (it is on Redis' disk; Redis 7.2 or later)."`
	LogLevel    string        `split_words:"true" default:"info" desc:"Least level that is logged: debug, info, warn or error."`
	MaxAttempts int           `split_words:"true" default:"5" desc:"Accepted deliveries of one job before it is dead, 1 to 100."`
	MaxSkew     time.Duration `split_words:"true" default:"5m" desc:"How far a request's timestamp may be from this clock, 1s to 1h. Nonces are remembered for twice as long."`
	Lease       time.Duration `split_words:"true" default:"60s" desc:"How long a desktop may hold an accepted job without renewing it, 1s to 1h."`
	Offer       time.Duration `split_words:"true" default:"10s" desc:"How long a desktop has to accept a job it was offered, 1s to 10m."`
	Drain       time.Duration `split_words:"true" default:"25s" desc:"How long a stopping replica waits for requests and streams to end, 1s to 10m. Keep it below the orchestrator's grace period."`

	AllowPrivateTargets bool     `split_words:"true" default:"false" desc:"true accepts tracking URLs that name private, loopback or link-local hosts: for development only."`
	TrustedProxies      []string `split_words:"true" desc:"Addresses or networks of the proxies in front, separated by commas; only their X-Forwarded-For is believed. None by default."`
}

// Operator is what the operator commands (account, device, key, job) run with.
type Operator struct {
	AdminURL   string `split_words:"true" default:"http://127.0.0.1:9090" desc:"Where the operator commands find the operators' listener; --admin-url has precedence."`
	AdminToken Secret `split_words:"true"`
}

// desktopPrefix begins the variables of the reference desktop. They may be set
// on the machine of a relay, so they are not taken for mistyped settings.
const desktopPrefix = prefix + "_DESKTOP_"

// Load reads the relay's settings from the environment. The error is an
// Errors that names everything that is wrong at once and shows no value.
func Load() (*Config, error) {
	c, faults := load[Config]()
	for i, p := range c.TrustedProxies {
		c.TrustedProxies[i] = strings.TrimSpace(p)
	}
	c.validate(&faults)
	return &c, faults.err()
}

// Defaults are the settings without an environment, for programs that set
// their own.
func Defaults() (*Config, error) {
	var c Config
	err := envconfig.Process("NO_ENVIRONMENT_HAS_THIS", &c)
	return &c, err
}

// LoadOperator reads the settings of the operator commands from the
// environment; the error is as that of Load.
func LoadOperator() (*Operator, error) {
	o, faults := load[Operator]()
	o.validate(&faults)
	return &o, faults.err()
}

// load fills a struct from the environment. Each field goes through envconfig
// in a struct of its own: envconfig stops at the first error, and an operator
// wants to see all of them.
func load[T any]() (into T, faults faults) {
	faults.typos(os.Environ())
	v := reflect.ValueOf(&into).Elem()
	for i, s := range settings(&into) {
		one := reflect.New(reflect.StructOf([]reflect.StructField{v.Type().Field(i)}))
		if err := envconfig.Process(prefix, one.Interface()); err != nil { // prints the raw value: never passed on
			faults.unreadable(s.Name, v.Field(i).Interface())
			continue
		}
		v.Field(i).Set(one.Elem().Field(0))
	}
	return into, faults
}

// Setting documents one variable.
type Setting struct {
	Name    string // the environment variable
	Default string // "" for none
	Desc    string
}

// settings lists the fields of a struct in their order. The names are
// envconfig's own, so that documentation and reading cannot disagree.
func settings(spec any) []Setting {
	var names strings.Builder
	if err := envconfig.Usagef(prefix, spec, &names, "{{range .}}{{usage_key .}} {{end}}"); err != nil {
		panic("config: " + err.Error()) // spec is not a pointer to a struct
	}
	t := reflect.TypeOf(spec).Elem()
	var all []Setting
	for i, name := range strings.Fields(names.String()) {
		tag := t.Field(i).Tag
		all = append(all, Setting{Name: name, Default: tag.Get("default"), Desc: tag.Get("desc")})
	}
	return all
}

// Settings lists every variable that any command reads, each once.
func Settings() []Setting {
	all := settings(&Config{})
	for _, s := range settings(&Operator{}) {
		if s.Desc != "" { // without one it is documented in Config
			all = append(all, s)
		}
	}
	return all
}

// Table renders Settings as the README's Markdown table.
func Table() string {
	var b strings.Builder
	b.WriteString("| variable | default | what it sets |\n|---|---|---|\n")
	for _, s := range Settings() {
		def := ""
		if s.Default != "" {
			def = "`" + s.Default + "`"
		}
		b.WriteString("| `" + s.Name + "` | " + def + " | " + strings.ReplaceAll(s.Desc, "|", `\|`) + " |\n")
	}
	return b.String()
}
