package redisstore

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	"linkrelay/quota"
)

// parts are the files that only ever come in front of a script.
var parts = []string{"secret", "guard", "jobs"}

func luaText(t *testing.T, name string) string {
	t.Helper()
	text, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// luaNames are the embedded files, without their ending.
func luaNames(t *testing.T) []string {
	t.Helper()
	files, err := fs.Glob(luaFiles, "lua/*.lua")
	if err != nil || len(files) == 0 {
		t.Fatalf("no Lua files: %v", err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(strings.TrimPrefix(f, "lua/"), ".lua")
	}
	return files
}

func TestEveryLuaFileIsAScriptOrAPartOfOne(t *testing.T) {
	var known []string
	for _, s := range scripts {
		known = append(known, s.name)
	}
	known = append(known, parts...)
	slices.Sort(known)
	if names := luaNames(t); !slices.Equal(names, known) {
		t.Errorf("files %v, scripts and parts %v", names, known)
	}
}

func TestScriptsAreComposedInOrder(t *testing.T) {
	seen := map[string]string{}
	for _, s := range scripts {
		if !strings.HasSuffix(s.text, luaText(t, s.name)) {
			t.Errorf("%s does not end with its own file", s.name)
		}
		if sum := sha1.Sum([]byte(s.text)); s.sha != hex.EncodeToString(sum[:]) {
			t.Errorf("%s has the SHA-1 of another text", s.name)
		}
		if other, twice := seen[s.sha]; twice {
			t.Errorf("%s and %s are the same script", s.name, other)
		}
		seen[s.sha] = s.name
		refuses, uses := strings.Index(s.text, "local function secret_refusal("), strings.Index(s.text, "secret_refusal(")
		if strings.Contains(luaText(t, s.name), "guard(") || strings.Contains(luaText(t, s.name), "secret_refusal(") {
			if refuses < 0 || uses < refuses {
				t.Errorf("%s: secret.lua is not in front of what uses it", s.name)
			}
		}
		first, second := strings.Index(s.text, "local function guard("), strings.Index(s.text, "local function settle(")
		if second >= 0 && (first < 0 || first > second) {
			t.Errorf("%s: jobs.lua comes without guard.lua in front of it", s.name)
		}
		if strings.Contains(luaText(t, s.name), "quota_") && !strings.Contains(s.text, quota.Lua) {
			t.Errorf("%s uses quota.lua and does not hold it", s.name)
		}
	}
}

// header is the comment a file begins with.
func header(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		rest, comment := strings.CutPrefix(line, "--")
		if !comment {
			break
		}
		b.WriteString(rest)
	}
	return b.String()
}

// section is the part of a header from one word to the next of them.
func section(head, from string, to ...string) string {
	_, rest, found := strings.Cut(head, "\n "+from+" ")
	if !found {
		return ""
	}
	for _, end := range to {
		rest, _, _ = strings.Cut(rest, "\n "+end+" ")
	}
	return rest
}

var (
	argument = regexp.MustCompile(`\b(KEYS|ARGV)\[(\d+)\]`)
	listed   = regexp.MustCompile(`(?:^|\s)(\d+)…?\s`)
)

func TestEveryLuaFileSaysWhatItTakesAndReturns(t *testing.T) {
	shared := map[string]string{"KEYS": section(header(luaText(t, "jobs")), "KEYS", "ARGV"), "ARGV": section(header(luaText(t, "jobs")), "ARGV")}
	for _, name := range luaNames(t) {
		text := luaText(t, name)
		head := header(text)
		if !strings.HasPrefix(head, " "+name+".lua: ") {
			t.Errorf("%s.lua does not begin with its name and purpose", name)
		}
		if name == "secret" || name == "guard" {
			continue // take what their caller hands them
		}
		took := map[string]string{"KEYS": section(head, "KEYS", "ARGV"), "ARGV": section(head, "ARGV", "Returns")}
		if took["KEYS"] == "" || took["ARGV"] == "" {
			t.Errorf("%s.lua does not list its KEYS and ARGV", name)
		}
		if !slices.Contains(parts, name) && section(head, "Returns") == "" {
			t.Errorf("%s.lua does not say what it returns", name)
		}
		for _, use := range argument.FindAllStringSubmatch(strings.TrimPrefix(text, head), -1) {
			list := took[use[1]]
			if strings.HasPrefix(list, " as jobs.lua") {
				list += shared[use[1]]
			}
			if !slices.ContainsFunc(listed.FindAllStringSubmatch(list, -1), func(m []string) bool { return m[1] == use[2] }) {
				t.Errorf("%s.lua uses %s and its header does not list it", name, use[0])
			}
		}
	}
}

// keyAt says which argument of a command names a key; 0 is none. A command
// that a script begins to use must be entered here.
var keyAt = map[string]int{
	"TIME": 0, "PUBLISH": 0,
	"GET": 1, "SET": 1, "DEL": 1, "EXISTS": 1, "PEXPIRE": 1,
	"HGET": 1, "HMGET": 1, "HSET": 1, "HDEL": 1, "HEXISTS": 1, "HGETALL": 1, "HINCRBY": 1, "HLEN": 1, "HVALS": 1,
	"XADD": 1, "XACK": 1, "XDEL": 1, "XCLAIM": 1, "XRANGE": 1, "XLEN": 1, "XGROUP": 2, "XREADGROUP": 7,
	"ZADD": 1, "ZREM": 1, "ZRANGE": 1, "ZRANGEBYSCORE": 1, "ZCARD": 1,
}

// keyNames are the expressions that may name a key: KEYS, the names that
// jobs.lua gives to them, and what guard.lua is handed of them. key is a job's:
// KEYS[7], or as it was stored in due or the stream of the same account.
var keyNames = regexp.MustCompile(`^(KEYS\[\d\]|ACCT|STREAM|DUE|EVENTS|DEAD|READY|acct|nonce|once|key)$`)

func TestLuaBuildsNoKeyName(t *testing.T) {
	calls := 0
	for _, name := range luaNames(t) {
		text := luaText(t, name)
		for _, args := range redisCalls(t, text) {
			calls++
			command := strings.Trim(args[0], "'")
			at, known := keyAt[command]
			if !known {
				t.Errorf("%s.lua: keyAt does not know %s", name, command)
				continue
			}
			if at > 0 && (at >= len(args) || !keyNames.MatchString(args[at])) {
				t.Errorf("%s.lua: the key of %v is not one of KEYS", name, args)
			}
		}
		for _, source := range regexp.MustCompile(`local [a-z, ]*\bkey\b[^=\n]*= (.+)`).FindAllStringSubmatch(text, -1) {
			if !slices.Contains([]string{"KEYS[7]", "entry[2] and entry[2][2]", "entry[2][2]"}, source[1]) {
				t.Errorf("%s.lua: key is made of %s", name, source[1])
			}
		}
		for _, literal := range regexp.MustCompile(`'[^'\n]*'`).FindAllString(text, -1) {
			if literal == `'{(.*)}'` {
				continue // takes the account's id out of one
			}
			if strings.Contains(literal, prefix) || strings.ContainsAny(literal, "{}") {
				t.Errorf("%s.lua: %s looks like a part of a key's name", name, literal)
			}
		}
	}
	if calls < 50 {
		t.Errorf("only %d calls were found: the rules would prove nothing", calls)
	}
	for _, binding := range []string{"local ACCT, STREAM, DUE, EVENTS, DEAD, READY = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]\n"} {
		if !strings.Contains(luaText(t, "jobs"), binding) {
			t.Errorf("jobs.lua does not say %q", binding)
		}
	}
}

// redisCalls returns the arguments of every redis.call and redis.pcall.
func redisCalls(t *testing.T, text string) [][]string {
	t.Helper()
	var out [][]string
	for _, at := range regexp.MustCompile(`redis\.p?call\(`).FindAllStringIndex(text, -1) {
		args, depth, start, quoted := []string(nil), 0, at[1], false
		for i := at[1]; ; i++ {
			if i == len(text) {
				t.Fatalf("a call does not end: %.80s", text[at[0]:])
			}
			c := text[i]
			if c == '\'' {
				quoted = !quoted
			}
			if quoted {
				continue
			}
			if (c == ',' || c == ')') && depth == 0 {
				args = append(args, strings.TrimSpace(text[start:i]))
				start = i + 1
			}
			if c == ')' && depth == 0 {
				break
			}
			depth += map[byte]int{'(': 1, '[': 1, '{': 1, ')': -1, ']': -1, '}': -1}[c]
		}
		out = append(out, args)
	}
	return out
}

// What a script must not do, whoever writes the next one: answers must depend
// on nothing but Redis' clock, KEYS and ARGV, and no call may be unbounded.
func TestLuaStaysDeterministicAndBounded(t *testing.T) {
	for _, name := range luaNames(t) {
		text := luaText(t, name)
		code := regexp.MustCompile(`--[^\n]*`).ReplaceAllString(text, "")
		for _, never := range []string{"math.random", "os.", "io.", "loadstring", "'KEYS'", "'SCAN'", "'SMEMBERS'", "'XTRIM'", "'BLOCK'", "cjson", "cmsgpack"} {
			if strings.Contains(code, never) {
				t.Errorf("%s.lua uses %s", name, never)
			}
		}
		for _, args := range redisCalls(t, text) {
			args = append(args, "", "")
			bounded := map[string]string{"'XRANGE'": "'COUNT'", "'ZRANGEBYSCORE'": "'LIMIT'", "'XREADGROUP'": "'COUNT'"}[args[0]]
			if bounded != "" && !slices.Contains(args, bounded) {
				t.Errorf("%s.lua: %v has no bound", name, args)
			}
			// Inventories and what belongs to them are bounded by the limits of an
			// account; the account itself grows with its devices and keys.
			if whole := []string{"'HGETALL'", "'HVALS'"}; slices.Contains(whole, args[0]) && slices.Contains([]string{"ACCT", "acct", "KEYS[1]"}, args[1]) {
				t.Errorf("%s.lua: %v reads the whole account", name, args)
			}
			queue := args[1] == "STREAM" || name == "admit" && args[1] == "KEYS[4]" // never trimmed: that would lose work
			if args[0] == "'XADD'" && queue == slices.Contains(args, "'MAXLEN'") {
				t.Errorf("%s.lua: %v: a log is trimmed, the queue never", name, args)
			}
		}
	}
}

func TestComposeKnowsItsFiles(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a script that does not exist was composed")
		}
	}()
	compose("no such script")
}

func TestReplyTakesOnlyWhatWasPromised(t *testing.T) {
	r := reply{v: []any{"text", int64(7), []any{"a", "b"}, nil}}
	if r.text(0) != "text" || r.number(1) != 7 || r.err != nil {
		t.Errorf("%+v", r)
	}
	if texts, err := r.list(2).texts(); err != nil || fmt.Sprint(texts) != "[a b]" {
		t.Errorf("list %v, %v", texts, err)
	}
	for what, read := range map[string]func(r *reply){
		"a number for a text":  func(r *reply) { r.text(1) },
		"a text for a number":  func(r *reply) { r.number(0) },
		"a text for a list":    func(r *reply) { r.list(0) },
		"nothing for a text":   func(r *reply) { r.text(3) },
		"beyond the end":       func(r *reply) { r.text(4) },
		"number beyond":        func(r *reply) { r.number(9) },
		"list beyond":          func(r *reply) { r.list(9) },
		"and a good one later": func(r *reply) { r.text(9); r.text(0) },
	} {
		r := reply{v: []any{"text", int64(7), []any{"a", int64(1)}, nil}}
		if read(&r); !errors.Is(r.err, errReply) {
			t.Errorf("%s: error %v", what, r.err)
		}
	}
	if _, err := (&reply{v: []any{"a", int64(1)}}).texts(); !errors.Is(err, errReply) {
		t.Errorf("a list of more than texts: %v", err)
	}
}
