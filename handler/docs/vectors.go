package docs

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"linkrelay/signature"
)

// vectorFile is what the page shows of one file of published vectors.
type vectorFile struct {
	Name, About string
	Vectors     []vector
}

// vector is what the page reads of one published vector.
type vector struct {
	Name, Why, Code, Version     string
	Valid                        bool
	Method, Target, Body, Secret string
	Headers                      http.Header
	Base, Signature              string
}

type storedFile struct {
	vectorFile
	text []byte
}

// aboutVectors says what each file is for, in the order of the page.
var aboutVectors = []struct{ name, about string }{
	{"link-peeler", "Requests of scheme link-peeler, v1 and v2."},
	{"iklim", "Requests of scheme iklim."},
	{"signed-query", "URLs of scheme signed-query, reading and creating."},
	{"diagnosis", "Requests that are signed wrongly in a common way, and the sentence that each is answered with."},
	{"keys", "Key ids and secrets, with right and wrong checksums."},
}

var vectorFiles = sync.OnceValue(func() ordered[storedFile] {
	var out ordered[storedFile]
	for _, a := range aboutVectors {
		text, err := signature.Vectors.ReadFile("testdata/" + a.name + ".json")
		if err != nil {
			panic(fmt.Errorf("docs: %w", err)) // it is in the binary
		}
		f := vectorFile{Name: a.name, About: a.about}
		if err := json.Unmarshal(text, &f); err != nil {
			panic(fmt.Errorf("docs: %s: %w", a.name, err)) // tests read it
		}
		out = append(out, entry[storedFile]{f.Name, storedFile{f, text}})
	}
	return out
})

// first returns the first valid vector of a file that is like the one wanted.
func first(file string, like func(*vector) bool) *vector {
	f, _ := vectorFiles().get(file)
	for i := range f.Vectors {
		if v := &f.Vectors[i]; v.Valid && v.Base != "" && like(v) {
			return v
		}
	}
	return nil
}
