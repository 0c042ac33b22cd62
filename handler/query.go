package handler

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"linkrelay/relay"
	"linkrelay/signature"
)

// jobParams are the parameters of a job that a signed query creates.
var jobParams = []string{"idempotencyKey", "trackingUrl", "source", "rowId"}

// knows reports whether the call knows a query parameter.
func (c *call) knows(name string) bool {
	return slices.Contains(c.route.query, name) ||
		c.proof.Scheme == signature.SchemeSignedQuery && signature.IsSigningParam(name) ||
		c.proof.Creates && slices.Contains(jobParams, name)
}

// readQuery reads the query strictly: a parameter that the call does not know,
// or one sent twice, is a fault like any other (see valid).
func readQuery(c *call) error {
	raw := c.g.Request.URL.RawQuery
	if raw == "" || len(c.route.query) > 0 && c.route.query[0] == anyQuery[0] {
		return nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil { // its text would echo the input; values holds the rest
		c.fault("/query", "is not well-formed")
	}
	for name, v := range values {
		switch {
		case !c.knows(name):
			c.fault(queryPointer(name), "is not a known parameter")
		case len(v) > 1:
			c.fault(queryPointer(name), "must be sent once")
		}
	}
	c.query = values
	return nil
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1") // RFC 6901 §3

func queryPointer(name string) string {
	return "/query/" + bounded(pointerEscapes.Replace(strings.ToValidUTF8(name, "")))
}

// number returns a whole parameter between low and high, fallback when it is
// absent.
func (c *call) number(name string, low, high, fallback int) int {
	if !c.query.Has(name) {
		return fallback
	}
	n, err := strconv.Atoi(c.query.Get(name))
	if err != nil || n < low || n > high {
		c.fault("/query/"+name, "must be a whole number between "+strconv.Itoa(low)+" and "+strconv.Itoa(high))
		return fallback
	}
	return n
}

// wait returns how long the caller wants the answer held. A replica that is
// going away holds none.
func (h *Handler) wait(c *call) time.Duration {
	n := c.number("wait", 0, int(relay.MaxWait/time.Second), 0)
	if h.isDraining() {
		return 0
	}
	return time.Duration(n) * time.Second
}

const (
	maxCursor = 200
	maxPage   = 500
	usualPage = 100
)

// page returns where a listing goes on and how many items to show.
func (c *call) page() (cursor string, limit int) {
	cursor = c.query.Get("cursor")
	if cursor != "" {
		c.fault("/query/cursor", relay.CheckText(cursor, maxCursor))
	}
	return cursor, c.number("limit", 1, maxPage, usualPage)
}
