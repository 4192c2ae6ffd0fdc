package walstore

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/replproxy/replproxy/internal/nudge"
)

// Mask selects the events that wake a watcher.
type Mask uint8

// What can move.
const (
	MovedReceived Mask = 1 << iota
	MovedWritten
	MovedFlushed
	MovedTimeline
)

// Watcher is a wake-up with room for one token: after something of its mask moved there is one in C,
// until somebody takes it. A token says "look again", never how often or where to; one is there
// from the start. Take the token first and read [Store.Positions] after it: then none is lost.
type Watcher struct {
	mask Mask
	c    nudge.Chan
	set  *Watchers
}

// C returns the channel of tokens, always the same one. It is never closed: after Close nothing comes any more.
func (w *Watcher) C() <-chan struct{} { return w.c }

// Close ends the wake-ups. It may be called more than once.
func (w *Watcher) Close() { w.set.remove(w) }

// Watchers wakes all watchers of one thing. The zero value has none. Methods may be called from any goroutine. Nudge
// takes no lock and, for a watcher whose token still lies there because it is busy, costs one look at its channel;
// only the others cost a send.
type Watchers struct {
	mu   sync.Mutex
	list atomic.Pointer[[]*Watcher] // replaced, never changed
}

// Add makes a watcher for what mask names, with a token. Close it when done.
func (s *Watchers) Add(mask Mask) *Watcher {
	w := &Watcher{mask: mask, c: nudge.New(), set: s}
	w.c.Wake()
	s.mu.Lock()
	defer s.mu.Unlock()
	next := append(slices.Clone(s.all()), w)
	s.list.Store(&next)
	return w
}

func (s *Watchers) remove(w *Watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(s.all()), func(o *Watcher) bool { return o == w })
	s.list.Store(&next)
}

func (s *Watchers) all() []*Watcher {
	if p := s.list.Load(); p != nil {
		return *p
	}
	return nil
}

// Len returns how many watchers are not closed.
func (s *Watchers) Len() int { return len(s.all()) }

// Nudge wakes whoever watches for a bit of m. Call it after the new positions were published: a watcher that misses
// this token (its channel was full) reads them when it takes the old one.
func (s *Watchers) Nudge(m Mask) {
	for _, w := range s.all() {
		if w.mask&m != 0 {
			w.c.Wake()
		}
	}
}
