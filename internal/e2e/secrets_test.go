package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"linkrelay/signature"
)

// shown watches over the whole run: what must never be seen, and the logs it
// must not be seen in.
var shown watcher

// infix is how much of a secret text is looked for. Whoever shows that much of
// it shows it.
const infix = 16

type watcher struct {
	mu      sync.Mutex
	secrets map[[infix]byte]string // the beginning of each → what it is
	kinds   map[string]int
	logs    []*journal
}

// secret registers a text that no log may show, without the parts that say
// what kind of secret it is.
func (w *watcher) secret(kind, text string) {
	text = strings.TrimPrefix(strings.TrimPrefix(text, "lps_"), "v2=")
	if len(text) < infix {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.secrets == nil {
		w.secrets, w.kinds = map[[infix]byte]string{}, map[string]int{}
	}
	w.secrets[[infix]byte([]byte(text))] = kind
	w.kinds[kind]++
}

func (w *watcher) log(j *journal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logs = append(w.logs, j)
}

// find lists the places where a log shows a secret.
func (w *watcher) find() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []string
	for _, j := range w.logs {
		for line := range bytes.Lines(j.bytes()) {
			if kind := w.in(line); kind != "" {
				found = append(found, fmt.Sprintf("a log shows a %s: %s", kind, line))
			}
		}
	}
	return found
}

// kindIn returns the kind of a secret that the text shows, or "".
func (w *watcher) kindIn(text []byte) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.in(text)
}

// in is kindIn for those who hold the lock.
func (w *watcher) in(text []byte) string {
	for i := 0; i+infix <= len(text); i++ {
		if kind, ok := w.secrets[[infix]byte(text[i:])]; ok {
			return kind
		}
	}
	return ""
}

// watched registers what passes on the way to the relay: signatures and the
// leases that actions are proven with.
type watched struct{ http.RoundTripper }

var (
	leaseMember    = regexp.MustCompile(`"lease":"([^"]+)"`)
	signatureParam = regexp.MustCompile(`(?:Signature|signedAuthentication)=([^&]+)`)
)

func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, values := range r.Header.Values(signature.HeaderSignature) {
		for v := range strings.SplitSeq(values, ",") {
			shown.secret("signature", strings.TrimSpace(v))
		}
	}
	shown.secret("signature", r.Header.Get(signature.HeaderIklimSignature))
	for _, param := range signatureParam.FindAllStringSubmatch(r.URL.RawQuery, -1) {
		shown.secret("signature", param[1])
		if value, err := url.QueryUnescape(param[1]); err == nil {
			shown.secret("signature", value)
		}
	}
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(body)
		if err != nil {
			return nil, err
		}
		for _, lease := range leaseMember.FindAllSubmatch(text, -1) {
			shown.secret("lease", string(lease[1]))
		}
	}
	return published.over(w.RoundTripper).RoundTrip(r)
}

// The watch over the logs finds what it looks for.
func TestWatcherFinds(t *testing.T) {
	var w watcher
	j := &journal{}
	w.log(j)
	w.secret("link code", "ABCD-EFGH-JKMN-PQRS")
	fmt.Fprintln(j, `{"msg":"request","key":"lp_live_Abcd"}`)
	if found := w.find(); len(found) != 0 {
		t.Errorf("found %q where nothing is", found)
	}
	fmt.Fprintln(j, `{"msg":"request","code":"ABCD-EFGH-JKMN-PQRS"}`)
	if found := w.find(); len(found) != 1 || !strings.HasPrefix(found[0], "a log shows a link code") {
		t.Errorf("found %q", found)
	}
}
