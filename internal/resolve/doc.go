// Package resolve finds where a tracking link leads, as the reference desktop
// does it: it follows redirects the way a browser would and records every hop,
// without running scripts and without ever reaching a private network.
//
// What counts as a redirect:
//   - 301, 302, 303, 307 and 308 with a Location (RFC 9110 §15.4). Another 3xx,
//     or one without Location, is where the link ends.
//   - on a 200, a Refresh header; or, for uncompressed text/html only, the first
//     <meta http-equiv=refresh> in the first [MaxHTML] bytes. Both are read as
//     browsers read them (WHATWG HTML, shared declarative refresh steps), and
//     followed at once when their delay is at most [MaxRefreshDelay]; a longer
//     one is a page that reloads itself. What <noscript>, <template>, comments
//     and scripts hold is not looked at: a browser would not follow it either.
//
// Every request is a GET, since many trackers answer HEAD differently, and
// carries no Referer. Cookies live for one resolution and are sent back as a
// browser would. A request is a loop when its URL was requested before with the
// same cookies, or for more than [MaxVisits] times at all: so a site that sends
// a visitor back to the same URL after setting a cookie is followed. A page
// that refreshes to itself without end is not a loop but the final page.
//
// A link is resolved when some page answers, also with 404 or 500. Only 429,
// 502, 503 and 504 are failures ([ServerError], retryable), because they say
// that another try may end elsewhere.
//
// Not guaranteed: what a redirect made by a script would lead to.
package resolve
