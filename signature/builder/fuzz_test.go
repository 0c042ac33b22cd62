package builder_test

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"linkrelay/signature/builder"
)

const moz = `https://h/p?Expires={hash.getExpiryTime(240);}&s={hash.append("mozscape").appendNewLine().append(hash.getExpiryTime(240)).encodeHmacSha1("key").encodeBase64().encodeURL().printDigest();}&z`

// Any text is refused with a place inside it, or renders: the same each time
// for one clock, and with what stands around its braces untouched.
func FuzzRender(f *testing.F) {
	f.Add(moz, int64(1735689600))
	f.Add("{hash.append(\"\\\"\\\\ü\").encodeMd5().append(\"x\").encodeSha1().toHex().encodeURL().printDigest() ;\n}", int64(-1))
	f.Add(`a{hash.append("a").encodeHmacSha256("b").toHex().toHex().printDigest();}b{hash.getExpiryTime(999999999);}`, int64(1<<60))
	f.Add("\xff{", int64(0))
	f.Fuzz(func(t *testing.T, template string, seconds int64) {
		parsed, err := builder.Parse(template)
		if err != nil {
			checkPlace(t, template, err)
			return
		}
		at := time.Unix(seconds, 0)
		text, err := parsed.Render(at)
		if err != nil {
			checkPlace(t, template, err)
			return
		}
		again, err := parsed.Render(at)
		if err != nil || again != text {
			t.Fatalf("%q renders to %q and then to %q, %v", template, text, again, err)
		}
		first, last := strings.IndexByte(template, '{'), strings.LastIndexByte(template, '}')
		if first < 0 {
			first, last = len(template), -1
		}
		if !strings.HasPrefix(text, template[:first]) || !strings.HasSuffix(text, template[last+1:]) {
			t.Fatalf("%q: what is around the braces became %q", template, text)
		}
		if around, err := builder.Parse("%7B " + template + " %7D"); err != nil {
			t.Fatal(err)
		} else if between, _ := around.Render(at); len(template) < 1<<10 && between != "%7B "+text+" %7D" {
			t.Fatalf("%q depends on what is around it: %q", template, between)
		}
	})
}

// checkPlace checks that a mistake has a place in the template, and can be shown.
func checkPlace(t *testing.T, template string, err error) {
	t.Helper()
	mistake, ok := errors.AsType[*builder.Error](err)
	if !ok {
		t.Fatalf("%v", err)
	}
	lines := strings.Split(template, "\n")
	if mistake.Line < 1 || mistake.Line > len(lines) || mistake.Column < 1 || mistake.Column > utf8.RuneCountInString(lines[mistake.Line-1])+1 {
		t.Fatalf("%q: %v is not in it", template, err)
	}
	if line, caret, ok := strings.Cut(mistake.Excerpt(template), "\n"); !ok || utf8.RuneCountInString(line)+1 < len(caret) || strings.Trim(caret, " ") != "^" {
		t.Fatalf("%q: excerpt %q, %q", template, line, caret)
	}
}

// However a template is broken around a quoted secret, no mistake shows it.
func FuzzSecret(f *testing.F) {
	f.Add(`{hash.append(`, `).printDigest();}`, int8(1))
	f.Add(`x=hash.append("a").encodeHmacSha1(`, `).printDigest();}`, int8(0))
	f.Add(`{hash.append("a).encodeHmacSha256(`, `).toHex().printDigest();}`, int8(2))
	f.Add(`{hash.append("a").encodeHmacSha256(`, `).toHex}`, int8(3))
	f.Fuzz(func(t *testing.T, before, behind string, quotes int8) {
		const secret = "Zq7vK2mX9wLd4c"
		open, closed := `"`, `"`
		switch quotes & 3 {
		case 1:
			open, closed = "“", "”"
		case 2:
			closed = ""
		case 3:
			closed = "\n"
		}
		template := before + open + secret + closed + behind
		parsed, err := builder.Parse(template)
		if err == nil {
			_, err = parsed.Render(now)
		}
		if mistake, ok := errors.AsType[*builder.Error](err); ok {
			if shown := mistake.Error() + mistake.Method + mistake.Excerpt(template); strings.Contains(shown, secret) {
				t.Fatalf("%q: %s", template, shown)
			}
		}
	})
}

// A template with one byte dropped, doubled or changed is refused without
// showing a secret, or is still a template.
func TestOneByteOff(t *testing.T) {
	const secret = "Zq7vK2mX9wLd4c"
	template := `https://h/p?s={hash.append("Zq7vK2mX9wLd4c").appendNewLine().encodeHmacSha1("Zq7vK2mX9wLd4c").encodeBase64().printDigest();}`
	for i := range len(template) {
		for _, other := range []string{"", template[i:i+1] + template[i:i+1], `"`, ".", "(", ")", "{", "}", "x", " ", "\n", "'"} {
			broken := template[:i] + other + template[i+1:]
			_, err := builder.Parse(broken)
			if mistake, ok := errors.AsType[*builder.Error](err); ok {
				if shown := mistake.Error() + mistake.Excerpt(broken); strings.Contains(shown, secret[:7]) || strings.Contains(shown, secret[7:]) {
					t.Errorf("%s\n%s", broken, shown)
				}
			}
		}
	}
}
