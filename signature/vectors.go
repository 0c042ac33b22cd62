package signature

import "embed"

// Vectors holds the published vectors: testdata/link-peeler.json, iklim.json,
// signed-query.json, diagnosis.json and keys.json. testdata/README.md documents
// their members. They cost the program half a megabyte.
//
//go:embed testdata/*.json
var Vectors embed.FS
