package gossip

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/replproxy/replproxy/internal/crowd"
)

// refuting begins the line that memberlist logs at each restart, when others still take this proxy for dead: it is
// well.
const refuting = "Refuting a"

// logWriter turns memberlist's lines, "date time [LEVEL] memberlist: text", into records, a bounded number. memberlist
// says something of each packet that it cannot read, and anybody who reaches the port can send those. Make it with
// newLogWriter.
type logWriter struct {
	log *slog.Logger
	now func() time.Time

	mu    sync.Mutex
	lines crowd.Quota
}

func newLogWriter(log *slog.Logger) *logWriter { return &logWriter{log: log, now: time.Now} }

func (w *logWriter) Write(b []byte) (int, error) {
	level, text := slog.LevelInfo, bytes.TrimSpace(b)
	for word, l := range map[string]slog.Level{
		"[DEBUG] ": slog.LevelDebug, "[WARN] ": slog.LevelWarn, "[ERR] ": slog.LevelWarn, "[INFO] ": slog.LevelInfo,
	} {
		if _, after, ok := bytes.Cut(text, []byte(word)); ok {
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

func (w *logWriter) admit() (dropped int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lines.Admit(w.now())
}
