package handler

import (
	"bytes"
	"io"
	"mime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"linkrelay/relay"
)

// scratch is the memory that reading a body needs. Streams, which have none,
// do not hold one.
type scratch struct {
	body []byte
	src  bytes.Buffer
	json jsontext.Decoder
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// maxScratch is the capacity in bytes worth keeping for the next request.
const maxScratch = 32 << 10

func (s *scratch) release() {
	if cap(s.body) <= maxScratch && s.src.Cap() <= maxScratch {
		scratches.Put(s)
	}
}

// received returns the bytes of the body, nil for none. They are only valid
// during the call.
func (c *call) received() []byte {
	if c.in == nil {
		return nil
	}
	return c.in.body
}

// checkBodyKind refuses a body by its headers: before any of it is read, and
// before the caller is asked who it is.
func checkBodyKind(c *call) error {
	r, rule := c.g.Request, c.body
	if r.ContentLength == 0 && (rule.limit == 0 || rule.optional) {
		return nil
	}
	if rule.limit == 0 {
		return relay.NewError(relay.BodyTooLarge, "this call takes no body")
	}
	if !strings.EqualFold(r.Header.Get("Content-Encoding"), "identity") && len(r.Header["Content-Encoding"]) > 0 {
		return relay.NewError(relay.UnsupportedMediaType, "the body must not be compressed")
	}
	if v := r.Header["Content-Type"]; len(v) != 1 || v[0] != "application/json" && !isJSON(v[0]) {
		return relay.NewError(relay.UnsupportedMediaType, "Content-Type must be application/json, in UTF-8")
	}
	if r.ContentLength > rule.limit {
		return tooLarge(rule.limit)
	}
	return nil
}

func isJSON(contentType string) bool {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "application/json" {
		return false
	}
	for name, value := range params {
		if name == "charset" && !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	return true
}

func tooLarge(limit int64) error {
	e := relay.NewError(relay.BodyTooLarge, "the body may have at most "+strconv.FormatInt(limit, 10)+" bytes")
	e.Limit = limit
	return e
}

// eagerBody is the announced length in bytes that gets its memory at once. More
// is given as it arrives: nobody has proved anything yet.
const eagerBody = 4 << 10

// readBody reads a body of bounded size within bodyTimeout, which began when
// the headers had arrived.
func readBody(c *call) error {
	r, limit := c.g.Request, c.body.limit
	if r.ContentLength == 0 {
		return nil
	}
	c.in = scratches.Get().(*scratch)
	c.in.body = c.in.body[:0]
	var err error
	if n := int(r.ContentLength); n > 0 && n <= max(eagerBody, cap(c.in.body)) {
		if cap(c.in.body) < n {
			c.in.body = make([]byte, 0, max(n, 1024))
		}
		c.in.body = c.in.body[:n]
		_, err = io.ReadFull(r.Body, c.in.body)
	} else {
		c.in.src.Reset()
		_, err = c.in.src.ReadFrom(io.LimitReader(r.Body, limit+1))
		c.in.body = append(c.in.body, c.in.src.Bytes()...)
	}
	c.readDeadline(time.Time{})
	if err != nil {
		c.g.Writer.Header().Set("Connection", "close")
		return relay.NewError(relay.BodyMalformed, "the body did not arrive whole and in time").Because(err)
	}
	if int64(len(c.in.body)) > limit {
		return tooLarge(limit)
	}
	return nil
}
