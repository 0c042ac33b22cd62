package docs_test

import (
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"linkrelay/handler/docs"
)

// The document is one that tools can read: valid OpenAPI 3.1, every reference
// leads somewhere, and every example is one of its schema.
func TestOpenAPIIsValid(t *testing.T) {
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(docs.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	if !doc.IsOpenAPI31OrLater() {
		t.Errorf("version %s", doc.OpenAPI)
	}
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaFormatValidation(), openapi3.EnableMultiError()); err != nil {
		t.Error(err)
	}
}
