package proxy

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/replproxy/replproxy/internal/crowd"
)

// quota bounds the log lines that anybody who reaches a listener can cause. The zero value is ready. It may be used by
// many goroutines.
type quota struct {
	mu    sync.Mutex
	lines crowd.Quota
}

// say logs one more line, or counts it; the next one that is logged has the count, as lines_dropped.
func (q *quota) say(log *slog.Logger, level slog.Level, message string, attrs ...any) {
	q.mu.Lock()
	dropped, ok := q.lines.Admit(time.Now())
	q.mu.Unlock()
	if !ok {
		return
	}
	if dropped > 0 {
		attrs = append(attrs, "lines_dropped", dropped)
	}
	log.Log(context.Background(), level, message, attrs...)
}
