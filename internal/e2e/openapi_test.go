package e2e_test

import (
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"linkrelay/handler/docs"
	"linkrelay/internal/contracttest"
)

// published keeps what passes between the tests and the public listeners, to be
// held against the OpenAPI document when all tests are over: then it costs none
// of them time.
var published exchanges

type exchanges struct {
	mu   sync.Mutex
	kept []*contracttest.Exchange
}

// over returns a transport that keeps what passes.
func (x *exchanges) over(t http.RoundTripper) http.RoundTripper {
	return contracttest.Recorder{RoundTripper: t, Done: func(_ *http.Request, e *contracttest.Exchange) {
		if strings.HasPrefix(e.Target, "/api/admin/") { // the operators' listener is not in the document
			return
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		x.kept = append(x.kept, e)
	}}
}

// mostFaults bounds what is printed: one mistake shows in many exchanges.
const mostFaults = 20

// unprovoked are the codes that no test here can provoke, and why.
var unprovoked = map[string]string{
	"overloaded": "takes 20,000 streams, or thousands of requests waiting for Redis; the tests of handler and redisstore have it",
}

// faults holds everything that was kept against the document. whole says that
// all tests ran: then every success and every code must have been seen.
func (x *exchanges) faults(whole bool) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	c, err := contracttest.New(docs.OpenAPI())
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for _, e := range x.kept {
		for _, fault := range c.Check(e) {
			fault = "not as documented: " + fault
			if !slices.Contains(found, fault) && len(found) < mostFaults {
				found = append(found, fault)
			}
		}
	}
	unseen := c.Unseen()
	fmt.Printf("openapi.json: %d exchanges; documented answers that no test provoked: %d\n", len(x.kept), len(unseen))
	if !whole {
		return found
	}
	if testing.Verbose() {
		fmt.Printf("  %s\n", strings.Join(unseen, "\n  "))
	}
	successes, codes := c.Unproven()
	for _, answer := range successes {
		found = append(found, "documented, and no test gets it: "+answer)
	}
	for _, code := range codes {
		if unprovoked[code] == "" {
			found = append(found, "documented, and no test provokes it: "+code)
		}
	}
	return found
}

// everyTest reports whether this run left no test out.
func everyTest() bool {
	given := func(name string) bool {
		f := flag.Lookup("test." + name)
		return f != nil && f.Value.String() != f.DefValue
	}
	return !given("run") && !given("skip") && !given("short") && !given("list")
}
