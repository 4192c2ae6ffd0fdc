package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/replproxy/replproxy/internal/crowd"
)

// quota bounds the log lines that anybody who reaches a listener can cause. The zero value is ready. It may be used by
// many goroutines.
type quota struct {
	mu      sync.Mutex
	lines   crowd.Quota
	repeats crowd.Repeats
}

// say logs one more line, or counts it; the next one that is logged has the count, as lines_dropped. Of lines that say
// the same of one host and application one is logged a minute: the next one has repeated.
func (q *quota) say(log *slog.Logger, level slog.Level, message string, attrs ...any) {
	q.mu.Lock()
	now, dropped := time.Now(), 0
	repeated, ok := q.repeats.Admit(sameness(message, attrs), now)
	if ok {
		dropped, ok = q.lines.Admit(now)
	}
	q.mu.Unlock()
	if ok {
		write(log, level, message, attrs, dropped, repeated)
	}
}

// repeat logs a line unless it says the same as one of the last minute, then counts it. It is for lines that only those
// cause who have logged in.
func (q *quota) repeat(log *slog.Logger, level slog.Level, message string, attrs ...any) {
	q.mu.Lock()
	repeated, ok := q.repeats.Admit(sameness(message, attrs), time.Now())
	q.mu.Unlock()
	if ok {
		write(log, level, message, attrs, 0, repeated)
	}
}

func write(log *slog.Logger, level slog.Level, message string, attrs []any, dropped, repeated int) {
	if dropped > 0 {
		attrs = append(attrs, "lines_dropped", dropped)
	}
	if repeated > 0 {
		attrs = append(attrs, "repeated", repeated)
	}
	log.Log(context.Background(), level, message, attrs...)
}

// sameness returns the parts of a line that say the same when it is repeated: without its time and its port.
func sameness(message string, attrs []any) string {
	var b strings.Builder
	b.WriteString(message)
	for pair := range slices.Chunk(attrs, 2) {
		key, value := fmt.Sprint(pair[0]), fmt.Sprint(pair[len(pair)-1])
		switch key {
		case "duration", "from_client", "to_client":
			continue
		case "peer":
			if host, _, err := net.SplitHostPort(value); err == nil {
				value = host
			}
		}
		fmt.Fprintf(&b, "\x00%s=%s", key, value)
	}
	return b.String()
}
