package gossip

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// logLines bounds the lines of memberlist that are logged within logWindow. It says something of each packet that
	// it cannot read, and anybody who reaches the port can send those.
	logLines  = 20
	logWindow = 10 * time.Second
	// refuting begins the line that memberlist logs at each restart, when others still take this proxy for dead: it is
	// well.
	refuting = "Refuting a"
)

// logWriter turns memberlist's lines, "date time [LEVEL] memberlist: text", into records, a bounded number.
type logWriter struct {
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex
	began   time.Time // of the window
	said    int       // in it
	dropped int
}

func newLogWriter(log *slog.Logger) *logWriter { return &logWriter{log: log, now: time.Now} }

func (w *logWriter) Write(b []byte) (int, error) {
	level, text := slog.LevelInfo, bytes.TrimSpace(b)
	for mark, l := range map[string]slog.Level{
		"[DEBUG] ": slog.LevelDebug, "[WARN] ": slog.LevelWarn, "[ERR] ": slog.LevelWarn, "[INFO] ": slog.LevelInfo,
	} {
		if _, after, ok := bytes.Cut(text, []byte(mark)); ok {
			level, text = l, bytes.TrimPrefix(after, []byte("memberlist: "))
			if bytes.HasPrefix(text, []byte(refuting)) {
				level = slog.LevelInfo
			}
			break
		}
	}
	ctx := context.Background()
	if !w.log.Enabled(ctx, level) {
		return len(b), nil
	}
	if more, ok := w.admit(); ok {
		if more > 0 {
			w.log.Warn("gossip: more was to be said than is logged", "lines_dropped", more)
		}
		w.log.Log(ctx, level, "gossip: "+string(text))
	}
	return len(b), nil
}

// admit counts a line and says whether it is logged, and how many were not since the last one that was.
func (w *logWriter) admit() (dropped int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := w.now(); now.Sub(w.began) >= logWindow {
		w.began, w.said = now, 0
	}
	if w.said >= logLines {
		w.dropped++
		return 0, false
	}
	w.said++
	dropped, w.dropped = w.dropped, 0
	return dropped, true
}
