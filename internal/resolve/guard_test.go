package resolve_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"linkrelay/internal/resolve"
)

// forbidden is a server that nobody may reach; the test fails if one does.
func forbidden(t *testing.T) *httptest.Server {
	t.Helper()
	var reached atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(func() {
		s.Close()
		if n := reached.Load(); n != 0 {
			t.Errorf("the private server was reached %d times", n)
		}
	})
	return s
}

func addrOf(t *testing.T, rawURL string) netip.AddrPort {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return netip.MustParseAddrPort(u.Host)
}

func TestPrivateAddressesAreRefused(t *testing.T) {
	port := ":" + strings.TrimPrefix(addrOf(t, forbidden(t).URL).String(), "127.0.0.1:")
	for _, host := range []string{
		"127.0.0.1" + port,
		"localhost" + port, // a name, judged by what it resolves to
		"127.8.9.10" + port,
		"0.0.0.0" + port,
		"[::1]" + port,
		"[::ffff:127.0.0.1]" + port,
		"[64:ff9b::7f00:1]" + port,
		"10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1",
		"169.254.169.254", "[fe80::1]", "[fd00::1]",
	} {
		t.Run(host, func(t *testing.T) {
			result, fault := failed(t, resolve.New(resolve.Options{}), "http://"+host+"/latest/meta-data", resolve.RefusedAddress)
			if fault.Retryable() {
				t.Error("a refused address is not worth another try")
			}
			if len(result.Hops) != 1 || result.Hops[0].Status != 0 {
				t.Errorf("hops %+v, want the refused one without a status", result.Hops)
			}
		})
	}
}

// A public tracker cannot send the desktop into its own network, by whichever
// way of redirecting and whichever spelling of the host.
func TestRedirectIntoAPrivateNetwork(t *testing.T) {
	private := forbidden(t).URL
	named := strings.Replace(private, "127.0.0.1", "localhost", 1)
	public := site(t, map[string]http.HandlerFunc{
		"/literal": redirect(302, private+"/admin"),
		"/named":   redirect(307, named+"/admin"),
		"/meta":    page(`<meta http-equiv=refresh content="0;url=` + named + `">`),
		"/header":  func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Refresh", "0;url="+private) },
	})
	r := resolve.New(resolve.Options{})
	allowed := addrOf(t, public)
	r.Allow(func(a netip.AddrPort) bool { return a == allowed })
	for _, path := range []string{"/literal", "/named", "/meta", "/header"} {
		t.Run(path, func(t *testing.T) {
			result, fault := failed(t, r, public+path, resolve.RefusedAddress)
			if len(result.Hops) != 2 || result.Hops[0].Location == "" {
				t.Errorf("hops %+v, want the redirect and the refused one", result.Hops)
			}
			if text := fault.Error(); !strings.Contains(text, "at hop 2") {
				t.Errorf("%q does not name the hop", text)
			}
		})
	}
}

// The guard judges every connection that is made, not the name once: a name
// that was fine a hop ago is judged again.
func TestEveryConnectionIsJudged(t *testing.T) {
	base := site(t, map[string]http.HandlerFunc{
		"/1": redirect(302, "/2"), "/2": redirect(302, "/3"), "/3": answers(200),
	})
	r := resolve.New(resolve.Options{})
	asked := 0
	r.Allow(func(netip.AddrPort) bool { asked++; return asked < 3 })
	if result, _ := failed(t, r, base+"/1", resolve.RefusedAddress); len(result.Hops) != 3 {
		t.Errorf("got %+v, want the third hop refused", result.Hops)
	}
}

// A proxy would connect where the guard cannot see it.
func TestProxiesOfTheEnvironmentAreNotUsed(t *testing.T) {
	proxy := forbidden(t)
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	var mu sync.Mutex
	var dialled []string
	r := resolve.New(resolve.Options{})
	r.Allow(func(a netip.AddrPort) bool {
		mu.Lock()
		defer mu.Unlock()
		dialled = append(dialled, a.String())
		return false
	})
	_, _ = failed(t, r, "http://192.0.2.1/", resolve.RefusedAddress)
	if len(dialled) != 1 || dialled[0] != "192.0.2.1:80" {
		t.Errorf("connected to %v, want the host itself", dialled)
	}
}
