package handler

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"

	"linkrelay/handler/docs"
	"linkrelay/relay"
)

var (
	htmlType  = []string{"text/html; charset=utf-8"}
	revisited = []string{"no-cache"} // may be kept, if asked for again each time
)

// openAPI is GET /openapi.json.
func openAPI(c *call) error { return c.document(jsonType, docs.OpenAPI(), true) }

// docsPage is GET /docs.
func docsPage(c *call) error { return c.htmlPage(docs.Page(), true) }

// vectors is GET /docs/vectors/{name}.json.
func vectors(c *call) error {
	name, isJSON := strings.CutSuffix(c.g.Param("name"), ".json")
	document, ok := docs.Vectors(name)
	return c.document(jsonType, document, ok && isJSON)
}

// explain is GET /problems/{code}: a page for people, or JSON for who asks for it.
func explain(c *call) error {
	code := relay.Code(c.g.Param("code"))
	c.g.Writer.Header()["Vary"] = []string{"Accept"}
	if strings.Contains(c.g.Request.Header.Get("Accept"), "json") {
		document, ok := docs.ProblemJSON(code)
		return c.document(jsonType, document, ok)
	}
	page, ok := docs.Problem(code)
	return c.htmlPage(page, ok)
}

func (c *call) htmlPage(html []byte, ok bool) error {
	h := c.g.Writer.Header()
	h["Content-Security-Policy"] = []string{docs.ContentSecurityPolicy()}
	h["Referrer-Policy"] = []string{"no-referrer"}
	return c.document(htmlType, html, ok)
}

var tags sync.Map // by the address of a document: documents are few and never change

func tagOf(document []byte) string {
	if tag, ok := tags.Load(&document[0]); ok {
		return tag.(string)
	}
	sum := sha256.Sum256(document)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	tags.Store(&document[0], tag)
	return tag
}

// document answers with what never changes while the process runs. Browsers
// and tools may keep it and ask whether it is still the same.
func (c *call) document(contentType []string, body []byte, ok bool) error {
	if !ok {
		return relay.NewError(relay.NotFound, "there is no such document; /docs lists what there is")
	}
	tag := tagOf(body)
	h := c.g.Writer.Header()
	h["Cache-Control"] = revisited
	h["Etag"] = []string{tag}
	if strings.Contains(c.g.Request.Header.Get("If-None-Match"), tag) {
		c.g.Writer.WriteHeader(http.StatusNotModified)
		return nil
	}
	c.write(http.StatusOK, contentType, body)
	return nil
}
