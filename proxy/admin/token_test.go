package admin

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestToken: the probes and the page's files are open, and tell nothing; all else asks for the token, which may be
// changed in its file.
func TestToken(t *testing.T) {
	const first, second = "0123456789abcdef", "fedcba9876543210-longer"
	path := filepath.Join(t.TempDir(), "token")
	write := func(content string, mode os.FileMode) {
		t.Helper()
		next := path + ".new"
		if err := os.WriteFile(next, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, path); err != nil {
			t.Fatal(err)
		}
	}
	write(first+"\n", 0o600)
	token, err := OpenToken(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	st := sample()
	st.Upstream.LastMessageAt, st.Upstream.LastError = time.Time{}, "host db1.secret"
	st.Verdict.Text = "BLIND 3s: db1.secret"
	f := fixed(st)
	s := New(Options{Source: &f, Profiles: true, Token: token, Logger: slog.New(slog.DiscardHandler),
		Tail: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "db1.secret") })})
	get := func(path, authorization string) (int, string) {
		r := httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil)
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for path, want := range map[string]int{
		"/": 200, "/page.js": 200, "/page.css": 200, "/healthz": 200, "/readyz": 503, "/status": 401, "/metrics": 401, "/tail": 401,
		"/debug/pprof/": 401, "//status": 401, "/status/": 401, "/nothing": 401, "/%73tatus": 401, "/page.js/../status": 401,
	} {
		for _, authorization := range []string{"", "Bearer", "Bearer ", "Bearer " + first + "x", "Basic " + first, first} {
			code, body := get(path, authorization)
			if code != want || strings.Contains(body, "db1.secret") || strings.Contains(body, first) {
				t.Errorf("%s with %q: %d %s", path, authorization, code, body)
			}
		}
	}
	for _, path := range []string{"/status", "/metrics", "/tail", "/debug/pprof/"} {
		if code, _ := get(path, "bearer "+first); code != http.StatusOK {
			t.Errorf("%s with the token: %d", path, code)
		}
	}
	if _, body := get("/readyz", "Bearer "+first); !strings.Contains(body, "db1.secret") {
		t.Errorf("who has the token is not told why: %s", body)
	}
	ready := sample()
	ready.Verdict.Text = "OK 3s: db1.secret"
	f = fixed(ready)
	for authorization, want := range map[string]string{"": "ready\n", "Bearer " + first: "OK 3s: db1.secret\nready\n"} {
		if _, body := get("/readyz", authorization); body != want {
			t.Errorf("ready, with %q: %q", authorization, body)
		}
	}
	write(second, 0o600)
	if code, _ := get("/status", "Bearer "+first); code != http.StatusUnauthorized {
		t.Errorf("the old token: %d", code)
	}
	for _, bad := range []func(){func() { write("short", 0o600) }, func() { write(first, 0o644) }, func() { write("two words and more", 0o600) },
		func() { write("no-header-carries-\u00fc\u201e", 0o600) }, func() { write("0123456789abcdef\x7f", 0o600) },
		func() { _ = os.Remove(path) }} {
		bad()
		if code, _ := get("/status", "Bearer "+second); code != http.StatusOK {
			t.Errorf("a file that cannot be used took the token away: %d", code)
		}
	}
}
