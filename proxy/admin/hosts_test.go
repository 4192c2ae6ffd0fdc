package admin

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestHosts: a name that somebody has pointed at this address is not answered (DNS rebinding).
func TestHosts(t *testing.T) {
	answer := func(h hosts, host, path string, secure bool) int {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Host = host
		if secure {
			r.TLS = &tls.ConnectionState{}
		}
		w := httptest.NewRecorder()
		h.guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {})).ServeHTTP(w, r)
		if w.Code != 200 && !strings.Contains(w.Body.String(), "http_hosts") {
			t.Errorf("%s: %s", host, w.Body)
		}
		return w.Code
	}
	h := hosts{"proxy-a.example", "Proxy-B."}
	for host, want := range map[string]int{
		"127.0.0.1:6580": 200, "127.0.0.1": 200, "[::1]:6580": 200, "[::1]": 200, "10.1.2.3:1": 200, "localhost:6580": 200, "LOCALHOST": 200,
		"localhost.": 200, "": 200, "proxy-a.example:6580": 200, "PROXY-A.example.": 200, "proxy-b": 200,
		"evil.example:6580": 421, "proxy-a.example.evil.example": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421,
		"0x7f.1": 421, "2130706433": 421, "127.1": 421, "evil.example@127.0.0.1": 421, "[evil]": 421, strings.Repeat("e", 5000): 421,
	} {
		for _, path := range []string{"/status", "/", "/metrics", "/tail", "/debug/pprof/", "//status"} {
			if got := answer(h, host, path, false); got != want {
				t.Errorf("%s %s: %d, want %d", host, path, got, want)
			}
		}
		if answer(h, host, "/healthz", false) != 200 || answer(h, host, "/status", true) != 200 || answer(hosts{"*"}, host, "/status", false) != 200 {
			t.Errorf("%s: a probe, TLS or any host is refused", host)
		}
	}
}
