package admin

import (
	"bufio"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzRequest: whatever is asked, the answer is one of ours, and not that something broke here.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		"GET /status HTTP/1.1\r\nHost: x\r\n\r\n", "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text\r\nAccept-Encoding: gzip, zstd\r\n\r\n",
		"HEAD /page.js HTTP/1.1\r\nHost: x\r\nRange: bytes=5-1,0-0\r\nIf-Modified-Since: x\r\n\r\n", "GET /..%2f%00 HTTP/1.0\r\n\r\n",
		"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "GET /debug/pprof/trace?seconds=x HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://other/status?x=1#y HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		f.Add(s)
	}
	st := fixed(sample())
	h := New(Options{Source: &st, Logger: slog.New(slog.DiscardHandler)}).http.Handler
	f.Fuzz(func(t *testing.T, text string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != http.StatusServiceUnavailable {
			t.Fatalf("%d to %q: %s", w.Code, text, w.Body)
		}
	})
}
