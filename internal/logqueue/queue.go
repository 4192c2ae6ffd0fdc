package logqueue

import (
	"io"
	"sync"
	"time"

	"github.com/replproxy/replproxy/internal/nudge"
)

// maxBytes bounds the lines that wait: about a thousand, more than a start or a storm of sessions logs before a reader
// that lives gets its turn, and little memory. As much again is held by the goroutine that writes.
const maxBytes = 256 << 10

// Options of New. Out is required.
type Options struct {
	Out io.Writer
	// Dropped writes one line which says that so many lines were dropped before it. nil: nothing is said.
	Dropped func(out io.Writer, lines uint64)
}

// Queue is an io.Writer of whole lines for slog's handlers. Any goroutine may use it. Make it with [New].
type Queue struct {
	o     Options
	more  nudge.Chan    // there are lines, or the end has come
	ended chan struct{} // closed when Run has returned

	mu      sync.Mutex // held for copying only
	waiting batch
	closed  bool
	total   uint64 // dropped since the start
}

// batch is a number of whole lines, and how many were dropped after them.
type batch struct {
	text    []byte
	ends    []int
	dropped uint64
}

// New makes a queue. It starts nothing: lines wait until Run writes them.
func New(o Options) *Queue {
	return &Queue{o: o, more: nudge.New(), ended: make(chan struct{})}
}

// Write takes one line over. It never blocks for the reader. It always reports success: a line for which there is no
// room, or that comes after Close, is counted as dropped. A line that is longer than all the room is taken when no
// other waits.
func (q *Queue) Write(line []byte) (int, error) {
	q.mu.Lock()
	if have := len(q.waiting.text); q.closed || have > 0 && have+len(line) > maxBytes {
		q.waiting.dropped++
		q.total++
	} else {
		q.waiting.text = append(q.waiting.text, line...)
		q.waiting.ends = append(q.waiting.ends, len(q.waiting.text))
	}
	q.mu.Unlock()
	q.wake()
	return len(line), nil
}

func (q *Queue) wake() { q.more.Wake() }

// Dropped returns how many lines were dropped since the start, for lack of room or because writing them failed.
func (q *Queue) Dropped() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.total
}

// Run writes lines as they come until Close. It blocks while the reader does.
func (q *Queue) Run() {
	defer close(q.ended)
	var b batch
	var unsaid uint64 // dropped, and not told yet
	for range q.more {
		var last bool
		b, last = q.take(b)
		failed := q.write(b)
		unsaid += failed + b.dropped
		if unsaid > 0 && q.o.Dropped != nil {
			unsaid = q.say(unsaid)
		}
		if last {
			return
		}
	}
}

// take exchanges the waiting lines for an empty batch that uses the memory of the one before. last: nothing comes any
// more.
func (q *Queue) take(before batch) (b batch, last bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b = q.waiting
	q.waiting = batch{text: before.text[:0], ends: before.ends[:0]}
	return b, q.closed
}

// write returns how many lines could not be written: the reader is gone, or the disk is full.
func (q *Queue) write(b batch) (failed uint64) {
	from := 0
	for _, to := range b.ends {
		if _, err := q.o.Out.Write(b.text[from:to]); err != nil {
			failed++
		}
		from = to
	}
	if failed > 0 {
		q.mu.Lock()
		q.total += failed
		q.mu.Unlock()
	}
	return failed
}

// say tells that lines were dropped. It returns how many are still to be told.
func (q *Queue) say(lines uint64) (unsaid uint64) {
	out := &outcome{Writer: q.o.Out}
	q.o.Dropped(out, lines)
	if out.err != nil {
		return lines
	}
	return 0
}

// outcome remembers whether a write has failed.
type outcome struct {
	io.Writer
	err error
}

func (o *outcome) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil {
		o.err = err
	}
	return n, err
}

// Close ends Run when it has written what waits, and returns then, or after limit. It reports whether all was written.
// Run must have been called, and Close is called once.
func (q *Queue) Close(limit time.Duration) bool {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.wake()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-q.ended:
		return true
	case <-timer.C:
		return false
	}
}
