package proxy

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestRepeatedLines: lines that say the same of one host and application are written once, by whatever port and for
// however long; another reason, host or application has its own line.
func TestRepeatedLines(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	var q quota
	for i := range 5 {
		q.say(log.With("session_id", i), slog.LevelInfo, "session ended", "why", "no primary", "application_name", "s1",
			"peer", fmt.Sprintf("10.0.0.1:%d", 4000+i), "duration", i)
		q.repeat(log, slog.LevelWarn, "cannot connect", "err", "refused")
	}
	q.say(log, slog.LevelInfo, "session ended", "why", "no primary", "application_name", "s2", "peer", "10.0.0.1:5000")
	q.say(log, slog.LevelInfo, "session ended", "why", "no primary", "application_name", "s1", "peer", "10.0.0.2:5000")
	q.say(log, slog.LevelInfo, "session ended", "why", "another", "application_name", "s1", "peer", "10.0.0.1:5000")
	q.repeat(log, slog.LevelWarn, "cannot connect", "err", "no route to host")
	if n := strings.Count(out.String(), "\n"); n != 6 {
		t.Errorf("%d lines:\n%s", n, &out)
	}
}
