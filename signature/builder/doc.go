// Package builder renders signed authentication parameters from templates: the
// signed authentication builder of seed 003 (CONTRACT §2). It does no I/O and
// has no clock of its own.
//
// A template is a text, most often a URL, with expressions in braces. This one
// signs a reading call of scheme signed-query:
//
//	/api/links/quota?AccessID=KEY&Expires={hash.getExpiryTime(300);}&Signature={hash.append("KEY")
//	.appendNewLine().append(hash.getExpiryTime(300)).encodeHmacSha256("SECRET").encodeBase64().encodeURL().printDigest();}
//
// # Language
//
// What is outside braces is copied untouched. Every brace is the builder's: one
// that is part of the URL is written %7B or %7D, as a URL requires, because a
// mistyped expression that was let through would send its secrets to whoever is
// called.
//
//	template   = { text | "{" expression ";" "}" }
//	expression = "hash" "." "getExpiryTime" "(" seconds ")"
//	           | "hash" { "." method } "." "printDigest" "(" ")"
//	method     = name "(" [ argument ] ")"
//	argument   = quoted text | "hash" "." "getExpiryTime" "(" seconds ")"
//
// White space, line breaks included, may stand between any two of these inside
// braces, and means nothing. Names are case-sensitive.
//
// A quoted text stands between straight double quotes, on one line. Inside,
// \" is a quote and \\ a backslash; any other backslash is a mistake, because
// readers differ over what it means. A line break is appendNewLine().
//
// seconds is a whole number of at most nine digits.
//
// # Methods
//
// Each expression begins with an empty value, and each of its methods changes
// that value. They chain in any number and order, as long as the first one
// appends something.
//
//	append("text")                    append the text's UTF-8 bytes
//	append(hash.getExpiryTime(n))     append the unix time n seconds after the rendering, in decimal
//	appendNewLine()                   append a line feed (one byte, 0A)
//	encodeMd5()                       replace the value by its MD5: 16 raw bytes
//	encodeSha1()                      … by its SHA-1: 20 raw bytes
//	encodeHmacSha1("key")             … by its HMAC-SHA1 under the key's UTF-8 bytes: 20 raw bytes
//	encodeHmacSha256("key")           … by its HMAC-SHA256: 32 raw bytes
//	encodeBase64()                    … by its base64, of the standard alphabet, padded, in one line
//	toHex()                           … by its hex digits, in lower case
//	encodeURL()                       … by its URL encoding in UTF-8, as HTML forms have it and as Java's
//	                                  URLEncoder does: letters, digits and . - * _ stay, a space
//	                                  becomes +, every other byte %XX in upper case
//	printDigest()                     print the value: once, at the end
//
// After an encoding the value is the encoding's result, and what is appended
// later is appended to that. Raw bytes are no text: they can be encoded further
// and appended to, but encodeURL() and printDigest() refuse them, for there is
// no right way to write them into a URL; toHex() or encodeBase64() comes first.
//
// The standalone {hash.getExpiryTime(n);} prints the time itself. All
// getExpiryTime of one rendering read the same clock once, so that an Expires
// and a signature over it agree.
//
// # Limits
//
// A template, each value and a rendering have at most MaxSize bytes; a template
// is UTF-8. Nothing nests but getExpiryTime in append.
//
// # Mistakes
//
// They are found when a template is parsed, but for values that grow beyond
// MaxSize. An Error names the method, the line and the column. It never holds
// what is in quotes, for that is where the secrets are.
package builder
