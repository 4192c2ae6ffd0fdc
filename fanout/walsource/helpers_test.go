package walsource

import (
	"maps"
	"slices"
	"sync"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/wire"
)

// commandsOn serves commands on a connection that was in COPY mode, until it is in it again.
func (w *walsender) commandsOn(c *copyConn) {
	for {
		copies, ok := w.answerNext(c, c.r)
		if !ok {
			return
		}
		if copies {
			w.copies <- c
			return
		}
	}
}

// promote ends timeline 1 at 0/1000006, answers otherwise from then on, and gives the COPY of timeline 2 on
// the same connection.
func (w *walsender) promote(c *copyConn, answers map[string][]byte) *copyConn {
	w.mu.Lock()
	w.answers["IDENTIFY_SYSTEM"] = ready(row("IDENTIFY_SYSTEM", fakeSystem, "2", "0/1000008", "NULL"))
	maps.Copy(w.answers, answers)
	w.mu.Unlock()
	c.send(wire.AppendHeader(nil, 'c', 0))
	for typ := byte(0); typ != 'c'; typ, _ = c.next() {
	}
	c.send(ready(wire.AppendFrame(row("START_STREAMING", "2", "0/1000006"), 'C', []byte("START_REPLICATION\x00"))))
	w.commandsOn(c) // the rest of this connection is like the beginning of a new one
	return <-w.copies
}

type fakeFeedback struct {
	mu      sync.Mutex
	now     copyboth.HotStandbyFeedback
	settled bool
	changed chan struct{}
}

func (f *fakeFeedback) Merged() (copyboth.HotStandbyFeedback, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now, f.settled
}

func (f *fakeFeedback) settle() {
	f.mu.Lock()
	f.settled = true
	f.mu.Unlock()
	f.changed <- struct{}{}
}

func (f *fakeFeedback) Changed() <-chan struct{} { return f.changed }

func (f *fakeFeedback) set(h copyboth.HotStandbyFeedback) {
	f.mu.Lock()
	f.now = h
	f.mu.Unlock()
	f.changed <- struct{}{}
}

// wordOf is an operator's word in memory.
type wordOf struct {
	mu       sync.Mutex
	open     lsn.TimelineID
	of       lsn.TimelineID
	from, to lsn.LSN
	heard    []lsn.LSN
	aside    *Aside
	refused  *LackError // before the start
	waited   [][]*LackError
}

func (w *wordOf) say(t lsn.TimelineID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = t
}

func (w *wordOf) Accepted(e *LackError) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open == e.Timeline
}

func (w *wordOf) Waits(_ lsn.TimelineID, all []*LackError) { w.waited = append(w.waited, all) }

func (w *wordOf) Refused() []*LackError {
	if w.refused == nil {
		return nil
	}
	return []*LackError{w.refused}
}

func (w *wordOf) Use(e *LackError, heard []lsn.LSN, aside *Aside) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open, w.of, w.from, w.to, w.heard, w.aside = 0, e.Of, e.From, e.To, heard, aside
	return nil
}

func (w *wordOf) keep() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.aside, w.of = nil, 0
	return nil
}

func (w *wordOf) GivenUp(p lsn.Point) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.of == p.Timeline && slices.Contains(w.heard, p.LSN)
}
