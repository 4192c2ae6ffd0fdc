package proxy

import (
	"sync"
	"time"

	"github.com/replproxy/replproxy/internal/crowd"
)

// quota bounds the log lines that anybody who reaches a listener can cause. The zero value is ready.
type quota struct {
	mu    sync.Mutex
	lines crowd.Quota
}

// admit reports whether one more line is logged, and how many were not since the last one that was.
func (q *quota) admit() (dropped int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lines.Admit(time.Now())
}
