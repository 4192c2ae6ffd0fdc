package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cmd/replproxy/show"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/console"
)

// fixed is a proxy whose status stands still.
type fixed struct{ s admin.Status }

func (f fixed) Status() admin.Status { return f.s }

// get asks an HTTP server that has just been started.
func get(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestSameWords: /status, /readyz, the command, the console and the log begin with the same words about a proxy, and the
// metric has its state. The page shows the words of /status.
func TestSameWords(t *testing.T) {
	const words = "COMMITS WAIT 1m57s: ANY 2 (s1, s2) has s1; s2 is away since 02:11 (last at proxy_b) → start standby s2"
	now := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	s := admin.Status{
		Now: now, StartedAt: now.Add(-time.Hour), Listen: []string{":6543"}, Name: "proxy_a",
		Verdict: admin.Verdict{Text: words, State: admin.VerdictWaits, Cause: "voters are missing: s2", Runbook: "https://x/#y"},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := admin.New(admin.Options{Listener: l, Source: fixed{s}, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	base := "http://" + l.Addr().String()

	var doc map[string]json.RawMessage
	body := get(t, base+"/status")
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatal(err)
	}
	var v admin.Verdict
	if err := json.Unmarshal(doc["verdict"], &v); err != nil || v.Text != words || !strings.HasPrefix(body, "{\n  \"verdict\"") {
		t.Errorf("/status has %+v, %v", v, err)
	}
	if body := get(t, base+"/readyz"); !strings.HasPrefix(body, words+"\nnot ready: no WAL has arrived yet") {
		t.Errorf("/readyz: %s", body)
	}
	metrics := get(t, base+"/metrics")
	for _, state := range admin.Verdicts() {
		want := map[bool]string{true: " 1\n", false: " 0\n"}[state == admin.VerdictWaits]
		if line := `replproxy_verdict_state{verdict="` + state + `"}` + want; !strings.Contains(metrics, line) {
			t.Errorf("no %q", line)
		}
	}
	if page := get(t, base+"/page.js"); !strings.Contains(page, "words.textContent = v.text;") {
		t.Error("the page shows other words")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()

	var b bytes.Buffer
	show.Status(&b, &s)
	if !strings.HasPrefix(b.String(), words+"\nsee https://x/#y\n\nserver ") {
		t.Errorf("the command: %s", b.String())
	}
	asked := console.New(func() *console.Snapshot { return &console.Snapshot{Status: &s} }, console.Client{})
	for _, query := range []string{"SHOW STATUS\x00", "SELECT text FROM verdict\x00"} {
		if out, _, err := asked.Message(t.Context(), 'Q', []byte(query)); err != nil || !strings.Contains(string(out), words) {
			t.Errorf("the console: %q, %v", out, err)
		}
	}
	b.Reset()
	sayVerdict(slog.New(slog.NewJSONHandler(&b, nil)), s.Verdict)
	var line map[string]string
	if err := json.Unmarshal(b.Bytes(), &line); err != nil || line["verdict"] != words || line["level"] != "WARN" {
		t.Errorf("the log: %s, %v", b.String(), err)
	}
	b.Reset()
	if sayVerdict(slog.New(slog.NewTextHandler(&b, nil)), admin.Verdict{State: admin.VerdictOK}); !strings.Contains(b.String(), "INFO") {
		t.Errorf("all is well: %s", b.String())
	}
}
