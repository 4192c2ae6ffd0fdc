package gossip

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// Packets of strangers do not fill the disk with log, and what is left out is said.
func TestLogIsBounded(t *testing.T) {
	const lines, window = 20, 10 * time.Second // of crowd.Quota
	var out bytes.Buffer
	w := newLogWriter(slog.New(slog.NewTextHandler(&out, nil)))
	now := time.Now()
	w.now = func() time.Time { return now }
	say := func(n int) {
		for i := range n {
			fmt.Fprintf(w, "2026/11/28 18:00:00 [ERR] memberlist: Decrypt packet failed: %d from=127.0.0.1:1\n", i)
		}
	}
	say(10_000)
	if n := strings.Count(out.String(), "\n"); n != lines {
		t.Errorf("%d lines were logged", n)
	}
	if first, _, _ := strings.Cut(out.String(), "\n"); !strings.Contains(first, `level=WARN msg="gossip: Decrypt packet failed: 0`) {
		t.Errorf("the first one: %s", first)
	}
	out.Reset()
	now = now.Add(window)
	say(1)
	want := fmt.Sprintf("lines_dropped=%d", 10_000-lines)
	if got := out.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, want) {
		t.Errorf("want %s: %s", want, got)
	}
	out.Reset()
	fmt.Fprintln(w, "[WARN] memberlist: Refuting a dead message (from: proxy_b)") // as after each restart
	if got := out.String(); !strings.Contains(got, "level=INFO") {
		t.Errorf("a restart is no warning: %s", got)
	}
	out.Reset()
	for range 100 {
		fmt.Fprintln(w, "[DEBUG] memberlist: Stream connection")
	}
	say(1)
	if got := out.String(); strings.Count(got, "\n") != 1 {
		t.Errorf("what is not logged counts: %s", got)
	}
}
