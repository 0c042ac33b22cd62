package builder_test

import (
	"errors"
	"strings"
	"testing"

	"linkrelay/signature/builder"
)

// Every mistake and the sentence that it gets.
func TestMistakes(t *testing.T) {
	tests := []struct{ template, want string }{
		// The end of an expression.
		{`x={hash.append("a").encodeMd5().toHex();}`, `line 1, column 40: toHex(): is the last method here, and an expression ends with .printDigest();`},
		{`x={hash.append("a").encodeMd5().toHex()}`, `line 1, column 40: toHex(): is the last method here, and an expression ends with .printDigest();`},
		{`x={hash.append("a")`, `line 1, column 20: append(): is the last method here, and an expression ends with .printDigest();`},
		{`x={hash.append("a").printDigest()}`, `line 1, column 34: printDigest(): a semicolon is missing behind it, before the closing brace`},
		{`x={hash.getExpiryTime(300)}`, `line 1, column 27: getExpiryTime(): a semicolon is missing behind it, before the closing brace`},
		{`x={hash.append("a").printDigest()`, `line 1, column 34: printDigest(): a semicolon is missing behind it, before the closing brace`},
		{`x={hash.append("a").printDigest();`, `line 1, column 35: printDigest(): the closing brace is missing behind its semicolon`},
		{`x={hash.append("a").printDigest();;}`, `line 1, column 35: printDigest(): the closing brace is missing behind its semicolon`},
		{`x={hash.getExpiryTime(300);&y={hash.getExpiryTime(300);}`, `line 1, column 28: getExpiryTime(): the closing brace is missing behind its semicolon`},
		{`x={hash.append("a").printDigest().append("b");}`, `line 1, column 35: append(): nothing can follow printDigest() but a semicolon`},
		{`x={hash.append("a").printDigest().printDigest();}`, `line 1, column 35: printDigest(): nothing can follow printDigest() but a semicolon`},
		{`x={hash.append("a")printDigest();}`, `line 1, column 20: append(): a dot and the next method, or a semicolon, follows its )`},
		{`x={hash.append("a"))printDigest();}`, `line 1, column 20: append(): a dot and the next method, or a semicolon, follows its )`},

		// Braces.
		{`x=hash.append("a").printDigest();}`, `line 1, column 34: this } closes nothing; a brace that is part of the URL is written %7D`},
		{`{hash.getExpiryTime(1);}}`, `line 1, column 25: this } closes nothing; a brace that is part of the URL is written %7D`},
		{`x={hsah.append("a").printDigest();}`, `line 1, column 3: an expression begins with hash. and a method; a brace that is part of the URL is written %7B`},
		{`?filter={"a":1}`, `line 1, column 9: an expression begins with hash. and a method; a brace that is part of the URL is written %7B`},
		{`?id={clickid}`, `line 1, column 5: an expression begins with hash. and a method; a brace that is part of the URL is written %7B`},
		{`{{hash.getExpiryTime(1);}}`, `line 1, column 1: an expression begins with hash. and a method; a brace that is part of the URL is written %7B`},
		{`{}`, `line 1, column 1: an expression begins with hash. and a method; a brace that is part of the URL is written %7B`},
		{`{`, `line 1, column 1: an expression begins with hash. and a method; a brace that is part of the URL is written %7B`},
		{`{hash;}`, `line 1, column 6: a dot and a method follow hash, such as hash.append(…)`},
		{`{hash("a");}`, `line 1, column 6: a dot and a method follow hash, such as hash.append(…)`},

		// Names.
		{`{hash.append("a").encodeMd6().toHex().printDigest();}`, `line 1, column 19: encodeMd6(): there is no such method; did you mean encodeMd5()?`},
		{`{hash.append("a").encodeMD5().toHex().printDigest();}`, `line 1, column 19: encodeMD5(): there is no such method; did you mean encodeMd5()?`},
		{`{hash.append("a").hmacSha256("k").toHex().printDigest();}`, `line 1, column 19: hmacSha256(): there is no such method; did you mean encodeHmacSha256()?`},
		{`{hash.append("a").toHex().print();}`, `line 1, column 27: print(): there is no such method; did you mean printDigest()?`},
		{`{hash.append("a").Appendnewline().printDigest();}`, `line 1, column 19: Appendnewline(): there is no such method; did you mean appendNewLine()?`},
		{`{hash.getExpiry(240);}`, `line 1, column 7: getExpiry(): there is no such method; did you mean getExpiryTime()?`},
		{`{hash.append(hash.getExpriyTime(240)).printDigest();}`, `line 1, column 19: getExpriyTime(): there is no such method; did you mean getExpiryTime()?`},
		{`{hash.append("a").reverse().printDigest();}`, `line 1, column 19: reverse(): there is no such method; there are append, appendNewLine, encodeMd5, encodeSha1, encodeHmacSha1, encodeHmacSha256, encodeBase64, encodeURL, toHex, printDigest, getExpiryTime`},
		{`{hash.tohexx;}`, `line 1, column 7: there is no such method; did you mean toHex()?`},
		{`{hash.append("a").toHex.printDigest();}`, `line 1, column 24: toHex(): ( follows the name of a method`},
		{`{hash.append("a")..toHex();}`, `line 1, column 19: append(): a dot is followed by the name of a method`},
		{`{hash.("a");}`, `line 1, column 7: a dot is followed by the name of a method`},
		{`{hash.`, `line 1, column 7: a dot is followed by the name of a method`},

		// Arguments.
		{`{hash.append().printDigest();}`, `line 1, column 14: append(): takes one argument: a text in double quotes, or hash.getExpiryTime(seconds)`},
		{`{hash.append(a).printDigest();}`, `line 1, column 14: append(): takes one argument: a text in double quotes, or hash.getExpiryTime(seconds)`},
		{`{hash.append(240).printDigest();}`, `line 1, column 14: append(): takes one argument: a text in double quotes, or hash.getExpiryTime(seconds)`},
		{`{hash.append("a","b").printDigest();}`, `line 1, column 17: append(): takes one argument: a text in double quotes, or hash.getExpiryTime(seconds)`},
		{`{hash.append(hash).printDigest();}`, `line 1, column 18: append(): takes one argument: a text in double quotes, or hash.getExpiryTime(seconds)`},
		{`{hash.append(hash.append("a")).printDigest();}`, `line 1, column 19: append(): cannot stand inside another method; only hash.getExpiryTime(seconds) can`},
		{`{hash.append(hash.getExpiryTime(1).toHex()).printDigest();}`, `line 1, column 35: append(): takes one argument: a text in double quotes, or hash.getExpiryTime(seconds)`},
		{`{hash.append("a").appendNewLine("\n").printDigest();}`, `line 1, column 34: appendNewLine(): in quotes a backslash can only be \" or \\; a line break is appendNewLine()`},
		{`{hash.append("a").appendNewLine("a").printDigest();}`, `line 1, column 33: appendNewLine(): takes no argument`},
		{`{hash.append("a").encodeMd5(1).printDigest();}`, `line 1, column 29: encodeMd5(): takes no argument`},
		{`{hash.append("a").encodeHmacSha1().toHex().printDigest();}`, `line 1, column 34: encodeHmacSha1(): takes one argument: the key, in double quotes and not empty`},
		{`{hash.append("a").encodeHmacSha256("").toHex().printDigest();}`, `line 1, column 36: encodeHmacSha256(): takes one argument: the key, in double quotes and not empty`},
		{`{hash.append("a").encodeHmacSha256(hash.getExpiryTime(1)).toHex().printDigest();}`, `line 1, column 36: encodeHmacSha256(): takes one argument: the key, in double quotes and not empty`},
		{`{hash.getExpiryTime();}`, `line 1, column 21: getExpiryTime(): takes one argument: a whole number of seconds, of at most nine digits and without quotes`},
		{`{hash.getExpiryTime("240");}`, `line 1, column 21: getExpiryTime(): takes one argument: a whole number of seconds, of at most nine digits and without quotes`},
		{`{hash.getExpiryTime(-1);}`, `line 1, column 21: getExpiryTime(): takes one argument: a whole number of seconds, of at most nine digits and without quotes`},
		{`{hash.getExpiryTime(1.5);}`, `line 1, column 22: getExpiryTime(): takes one argument: a whole number of seconds, of at most nine digits and without quotes`},
		{`{hash.getExpiryTime(1000000000);}`, `line 1, column 21: getExpiryTime(): takes one argument: a whole number of seconds, of at most nine digits and without quotes`},
		{`{hash.getExpiryTime(1, 2);}`, `line 1, column 22: getExpiryTime(): takes one argument: a whole number of seconds, of at most nine digits and without quotes`},
		{`{hash.append("a".printDigest();}`, `line 1, column 17: append(): the quoted text has ended and no ) follows: is a closing quote missing before, or is a quote inside it not written \"?`},
		{`{hash.append("a"`, `line 1, column 17: append(): its closing ) is missing`},
		{`{hash.append("a";}`, `line 1, column 17: append(): its closing ) is missing`},
		{`{hash.append("a").toHex(`, `line 1, column 25: toHex(): its closing ) is missing`},

		// Quotes.
		{`{hash.append("a).printDigest();}`, `line 1, column 14: append(): the quoted text that begins here has no closing quote on this line`},
		{"{hash.append(\"a\nb\").printDigest();}", `line 1, column 14: append(): the quoted text that begins here has no closing quote on this line`},
		{`{hash.append("id).appendNewLine().append("b").printDigest();}`, `line 1, column 43: append(): the quoted text has ended and no ) follows: is a closing quote missing before, or is a quote inside it not written \"?`},
		{`{hash.append('a').printDigest();}`, `line 1, column 14: append(): a text stands in straight double quotes, "…"`},
		{`{hash.append(“a”).printDigest();}`, `line 1, column 14: append(): a text stands in straight double quotes, "…"`},
		{`{hash.append("a").encodeHmacSha1(„k“).printDigest();}`, `line 1, column 34: encodeHmacSha1(): a text stands in straight double quotes, "…"`},
		{`{hash.append("a\nb").printDigest();}`, `line 1, column 16: append(): in quotes a backslash can only be \" or \\; a line break is appendNewLine()`},
		{`{hash.append("a\`, `line 1, column 16: append(): in quotes a backslash can only be \" or \\; a line break is appendNewLine()`},

		// The order of methods.
		{`{hash.encodeMd5().toHex().printDigest();}`, `line 1, column 7: encodeMd5(): has nothing to work on: an expression begins with append() or appendNewLine()`},
		{`{hash.printDigest();}`, `line 1, column 7: printDigest(): has nothing to work on: an expression begins with append() or appendNewLine()`},
		{`{hash.append("a").encodeMd5().printDigest();}`, `line 1, column 31: printDigest(): cannot have the raw bytes that encodeMd5() makes: put toHex() or encodeBase64() in between`},
		{`{hash.append("a").encodeHmacSha1("k").append("b").printDigest();}`, `line 1, column 51: printDigest(): cannot have the raw bytes that encodeHmacSha1() makes: put toHex() or encodeBase64() in between`},
		{`{hash.append("a").encodeHmacSha256("k").encodeURL().printDigest();}`, `line 1, column 41: encodeURL(): cannot have the raw bytes that encodeHmacSha256() makes: put toHex() or encodeBase64() in between`},
		{`{hash.getExpiryTime(300).printDigest();}`, `line 1, column 26: printDigest(): nothing can follow a standalone getExpiryTime() but a semicolon; to go on from a time, begin with hash.append(hash.getExpiryTime(seconds))`},
		{`{hash.append("a").getExpiryTime(300).printDigest();}`, `line 1, column 19: getExpiryTime(): stands inside append(), or alone in its braces`},

		// Lines and columns.
		{"https://é.example/\n?x={hash\n  .append(\"ü\"). encodeMd5()\n  .printDigest();}", `line 4, column 4: printDigest(): cannot have the raw bytes that encodeMd5() makes: put toHex() or encodeBase64() in between`},
		{"ééé}", `line 1, column 4: this } closes nothing; a brace that is part of the URL is written %7D`},

		// Bounds.
		{"ok\nü\xff", `line 2, column 2: the template is not UTF-8 text`},
		{strings.Repeat("x", builder.MaxSize+1), `line 1, column 1: the template is longer than 65536 bytes`},
		{`{hash.append("0123456789abcdef")` + strings.Repeat(".toHex()", 13) + `.printDigest();}`, `line 1, column 130: toHex(): makes the value longer than 65536 bytes`},
		{"\n" + strings.Repeat(`{hash.append("0123456789abcdef")`+strings.Repeat(".toHex()", 12)+`.printDigest();}`, 2), `line 1, column 1: the rendered text is longer than 65536 bytes`},
	}
	for _, tt := range tests {
		parsed, err := builder.Parse(tt.template)
		if err == nil {
			_, err = parsed.Render(now)
		}
		if _, ok := errors.AsType[*builder.Error](err); !ok || err.Error() != tt.want {
			t.Errorf("%.200s\ngot  %v\nwant %s", tt.template, err, tt.want)
		}
	}
}

func TestExcerpt(t *testing.T) {
	long := strings.Repeat("x", 100)
	tests := []struct{ template, want string }{
		{`https://h/?a=1&s={hash.append("sec ret").encodeMd6().printDigest();}`,
			"https://h/?a=1&s={hash.append(\"*** ***\").*********().printDigest();}\n                                         ^"},
		{`x=hash.append("secret").printDigest();}`,
			"x=hash.append(\"******\").printDigest();}\n                                      ^"},
		{"a={hash\n.append(\"secret\").\n\tprintDigest()}", "\tprintDigest()}\n              ^"},
		{long + `{clickid}` + long, strings.Repeat("x", 60) + "{*******}" + strings.Repeat("*", 51) + "\n" + strings.Repeat(" ", 60) + "^"},
		{`{hash.append(“sécret”).printDigest();}`, "{hash.append(********).printDigest();}\n             ^"},
	}
	for _, tt := range tests {
		_, err := builder.Parse(tt.template)
		mistake, ok := errors.AsType[*builder.Error](err)
		if !ok {
			t.Fatalf("%s: %v", tt.template, err)
		}
		if got := mistake.Excerpt(tt.template); got != tt.want {
			t.Errorf("%s\ngot\n%s\nwant\n%s", tt.template, got, tt.want)
		}
	}
}
