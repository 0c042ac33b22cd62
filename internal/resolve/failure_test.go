package resolve_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"linkrelay/internal/resolve"
	"linkrelay/relay"
)

// hang answers nothing until the client gives up.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// drip begins a page and never ends it.
func drip(w http.ResponseWriter, r *http.Request) {
	page("<title>Loading")(w, r)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func TestTimeouts(t *testing.T) {
	base := site(t, map[string]http.HandlerFunc{"/": redirect(302, "/hang"), "/hang": hang, "/drip": drip})
	const soon, never = 50 * time.Millisecond, time.Hour
	for _, c := range []struct {
		name, path   string
		hop, overall time.Duration
		hops         int
	}{
		{"a hop that does not answer", "/", soon, never, 2},
		{"a page that does not end", "/drip", soon, never, 1},
		{"the whole resolution", "/", never, soon, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := resolve.New(resolve.Options{AllowPrivate: true, HopTimeout: c.hop, Timeout: c.overall})
			result, fault := failed(t, r, base+c.path, resolve.Timeout)
			if !fault.Retryable() || len(result.Hops) != c.hops {
				t.Errorf("retryable %t, %d hops; want a retry and %d hops", fault.Retryable(), len(result.Hops), c.hops)
			}
		})
	}
}

func TestCancellation(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	base := site(t, map[string]http.HandlerFunc{"/": func(w http.ResponseWriter, r *http.Request) { cancel(); hang(w, r) }})
	_, err := local().Resolve(ctx, base)
	fault, ok := errors.AsType[*resolve.Error](err)
	if !ok || fault.Kind != resolve.Cancelled || !fault.Retryable() || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want a retryable cancellation that unwraps to context.Canceled", err)
	}
}

func TestTLS(t *testing.T) {
	secure := httptest.NewUnstartedServer(nil)
	plain := site(t, map[string]http.HandlerFunc{"/end": func(_ http.ResponseWriter, r *http.Request) {
		if _, sent := r.Header["Referer"]; sent {
			t.Errorf("the plain hop got the Referer %q", r.Referer())
		}
	}})
	secure.Config.Handler = redirect(302, plain+"/end")
	secure.Config.ErrorLog = silent()
	secure.StartTLS()
	t.Cleanup(secure.Close)

	t.Run("an unknown authority", func(t *testing.T) {
		if _, fault := failed(t, local(), secure.URL, resolve.TLS); fault.Retryable() {
			t.Error("a bad certificate is not worth another try")
		}
	})
	t.Run("not TLS at all", func(t *testing.T) {
		_, _ = failed(t, local(), strings.Replace(plain, "http:", "https:", 1), resolve.TLS)
	})
	t.Run("from https to http is followed and told", func(t *testing.T) {
		r := local()
		roots := x509.NewCertPool()
		roots.AddCert(secure.Certificate())
		r.Trust(roots)
		if got := resolved(t, r, secure.URL); !got.Downgraded || got.FinalURL != plain+"/end" {
			t.Errorf("got %+v, want a downgrade to the plain page", got)
		}
		if got := resolved(t, r, plain+"/end"); got.Downgraded {
			t.Error("a link that begins with http is no downgrade")
		}
	})
}

// rawServer answers every connection with the bytes and closes it.
func rawServer(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = c.Write([]byte(answer))
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return "http://" + l.Addr().String()
}

func TestBrokenServers(t *testing.T) {
	for name, answer := range map[string]string{
		"says nothing":        "",
		"speaks no HTTP":      "220 mail.example ESMTP\r\n",
		"headers without end": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 80<<10) + "\r\n\r\n",
		"page cut off":        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 99\r\n\r\n<p>",
	} {
		t.Run(name, func(t *testing.T) {
			if _, fault := failed(t, local(), rawServer(t, answer), resolve.Connection); !fault.Retryable() {
				t.Error("a broken connection is worth another try")
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		s := httptest.NewServer(nil)
		s.Close()
		_, fault := failed(t, local(), s.URL, resolve.Connection)
		if !fault.Retryable() || !strings.Contains(fault.Error(), "refused") {
			t.Errorf("got %v, retryable %t", fault, fault.Retryable())
		}
	})
}

func TestSeveralLocations(t *testing.T) {
	const head = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n"
	_, _ = failed(t, local(), rawServer(t, head+"Location: /a\r\nLocation: /b\r\n\r\n"), resolve.BadLocation)
	_, _ = failed(t, local(), rawServer(t, head+"Location: /a\r\nLocation: /a\r\n\r\n"), resolve.Loop) // repeated: /a leads to /a
}

// An endless answer is never read to its end, whatever its type.
func TestBodiesAreNotRead(t *testing.T) {
	endless := func(contentType string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			chunk := []byte(strings.Repeat("<p>Lorem ipsum</p>\n", 512))
			for r.Context().Err() == nil {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}
	}
	base := site(t, map[string]http.HandlerFunc{"/html": endless("text/html"), "/zip": endless("application/zip")})
	for _, path := range []string{"/html", "/zip"} {
		if got := resolved(t, local(), base+path); got.FinalURL != base+path {
			t.Errorf("%s: got %+v", path, got)
		}
	}
}

func TestDNSFailures(t *testing.T) {
	for _, c := range []struct {
		err       net.DNSError
		kind      resolve.Kind
		retryable bool
	}{
		{net.DNSError{Err: "no such host", Name: "gone.example", Server: "10.9.8.7:53", IsNotFound: true}, resolve.DNS, false},
		{net.DNSError{Err: "server misbehaving", Name: "gone.example", Server: "10.9.8.7:53", IsTemporary: true}, resolve.DNS, true},
		{net.DNSError{Err: "i/o timeout", Name: "gone.example", Server: "10.9.8.7:53", IsTimeout: true}, resolve.Timeout, true},
	} {
		r := local()
		r.Dial(func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &c.err}
		})
		_, fault := failed(t, r, "http://gone.example/path?secret=1", c.kind)
		if fault.Retryable() != c.retryable {
			t.Errorf("%v: retryable %t, want %t", fault, fault.Retryable(), c.retryable)
		}
		for _, private := range []string{"10.9.8.7", "secret", "path"} {
			if strings.Contains(fault.Error(), private) {
				t.Errorf("%q tells %q", fault, private)
			}
		}
	}
}

// Whatever a server sends, an error's text is one short printable line without
// this machine's addresses.
func TestErrorTextIsSafeToShow(t *testing.T) {
	base := rawServer(t, "HTTP/1.1 \x1b[31m"+strings.Repeat("é", 2000)+"\r\n\r\n")
	_, fault := failed(t, local(), base, resolve.Connection)
	if text := fault.Error(); relay.CheckText(text, relay.MaxFailureText) != "" || len(text) > 1000 {
		t.Errorf("unsafe text %q", text)
	}
	r := local()
	r.Dial(func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{IP: net.IPv4(192, 168, 7, 7)}, Err: errors.New("connection\nreset")}
	})
	_, fault = failed(t, r, "http://a.example", resolve.Connection)
	if want := "resolve: connection at hop 1 (a.example): read: connection reset"; fault.Error() != want {
		t.Errorf("got %q, want %q", fault, want)
	}
}

// The relay takes results of at most MaxResult bytes; the final URL is what
// matters and is always whole.
func TestResultAlwaysFits(t *testing.T) {
	long := "http://h.example/?" + strings.Repeat("&", resolve.MaxURL-18)
	for _, text := range []string{long, "http://h.example/" + strings.Repeat("é", 3000), strings.Repeat("\xff", 5000)} {
		full := resolve.Result{FinalURL: long, FinalStatus: 200, Downgraded: true}
		for range resolve.LimitMaxHops + 1 {
			full.Hops = append(full.Hops, resolve.Hop{URL: text, Status: 302, Location: text, Via: resolve.ViaRefresh, Millis: 99999})
		}
		got := resolve.Fit(full)
		b, err := json.Marshal(got)
		if err != nil || len(b) > relay.MaxResult {
			t.Errorf("%d bytes, %v; want at most %d", len(b), err, relay.MaxResult)
		}
		if got.FinalURL != long || !got.Truncated || len(got.Hops) != resolve.LimitMaxHops+1 {
			t.Errorf("truncated %t, %d hops, final URL of %d bytes", got.Truncated, len(got.Hops), len(got.FinalURL))
		}
	}
	small := resolve.Result{FinalURL: "http://a.example/", Hops: []resolve.Hop{{URL: "http://a.example/"}}}
	if got := resolve.Fit(small); got.Truncated {
		t.Error("a small result was cut")
	}
}

func TestLongChainFits(t *testing.T) {
	pad := strings.Repeat("&", 4000)
	base := site(t, map[string]http.HandlerFunc{"/{n}": func(w http.ResponseWriter, r *http.Request) {
		var n int
		if _, err := fmt.Sscan(r.PathValue("n"), &n); err == nil && n > 0 {
			redirect(302, fmt.Sprintf("/%d?%s", n-1, pad))(w, r)
		}
	}})
	got := resolved(t, local(), base+"/20")
	if b, err := json.Marshal(got); err != nil || len(b) > relay.MaxResult || !got.Truncated || got.FinalURL != base+"/0?"+pad {
		t.Errorf("%d bytes, %v, truncated %t, final URL of %d bytes", len(b), err, got.Truncated, len(got.FinalURL))
	}
}
