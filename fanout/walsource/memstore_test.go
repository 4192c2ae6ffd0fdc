package walsource

import (
	"cmp"
	"context"
	"io"
	"sync"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// memStore is a store that keeps WAL in memory and whose disk does what the test says.
type memStore struct {
	primaryHas lsn.LSN
	forgetful  error // of PrimaryHas, after which the test knows what it was told
	mu         sync.Mutex
	id         walstore.Identity
	pos        walstore.Positions
	start      lsn.LSN
	data       []byte
	next       lsn.LSN
	histories  map[lsn.TimelineID][]byte
	promised   lsn.LSN
	had        lsn.TimelineID  // of promised; 0: the stored one
	owes       walstore.Repair // zero: nothing
	promises   int             // fsyncs of it
	held       lsn.LSN
	checkpoint lsn.LSN       // where a shutdown checkpoint ends
	hold       bool          // write and flush nothing
	stall      chan struct{} // AppendFrom waits for it, as for a disk
	paused     bool
	told       func() // after write and flush
}

func newMemStore() *memStore {
	return &memStore{told: func() {}, histories: map[lsn.TimelineID][]byte{}}
}

func (m *memStore) locked(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *memStore) Identity() (id walstore.Identity, ok bool) {
	m.locked(func() { id = m.id })
	return id, id.System != 0
}

func (m *memStore) Adopt(id walstore.Identity) error {
	m.locked(func() { m.id = id })
	return nil
}

func (m *memStore) Positions() (p walstore.Positions) {
	m.locked(func() { p = m.pos })
	return p
}

func (m *memStore) HistoryFile(t lsn.TimelineID) (b []byte, err error) {
	m.locked(func() { b = m.histories[t] })
	if b == nil {
		return nil, walstore.ErrNoHistory
	}
	return b, nil
}

func (m *memStore) PutHistory(t lsn.TimelineID, b []byte) error {
	m.locked(func() { m.histories[t] = b })
	return nil
}

func (m *memStore) StartStream(t lsn.TimelineID, at lsn.LSN) error {
	m.locked(func() {
		if m.pos.Timeline == 0 {
			m.start = at
			m.pos = walstore.Positions{Oldest: at, Received: at, Written: at, Flushed: at}
		}
		m.pos.Timeline, m.next = t, at
	})
	return nil
}

func (m *memStore) AppendFrom(ctx context.Context, at lsn.LSN, r io.Reader, n int) error {
	var stall chan struct{}
	m.locked(func() { stall, m.paused = m.stall, m.stall != nil })
	if stall != nil {
		select {
		case <-stall:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		m.locked(func() { m.stall, m.paused = nil, false })
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	told, err := m.append(at, b)
	told()
	return err
}

// append takes b, and returns what is to be called once nothing is locked.
func (m *memStore) append(at lsn.LSN, b []byte) (told func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at != m.next || at > m.pos.Received {
		return func() {}, &walstore.GapError{Expected: m.next, Got: at}
	}
	m.next = at + lsn.LSN(len(b))
	m.data = append(m.data[:at-m.start], b...)
	m.pos.Received = max(m.pos.Received, m.next)
	if m.hold {
		return func() {}, nil
	}
	m.pos.Written, m.pos.Flushed = m.pos.Received, m.pos.Received
	return m.told, nil
}

// flush writes and flushes what was held.
func (m *memStore) flush() {
	var told func()
	m.locked(func() {
		m.pos.Written, m.pos.Flushed = m.pos.Received, m.pos.Received
		told = m.told
	})
	told()
}

// OnMoved has told called whenever the store has written and flushed more.
func (m *memStore) OnMoved(told func()) { m.locked(func() { m.told = told }) }

func (m *memStore) DropIncomplete() (end lsn.LSN, _ error) {
	m.locked(func() {
		end = m.pos.Complete
		m.pos.Received, m.pos.Written, m.pos.Flushed = end, end, end
	})
	return end, nil
}

func (m *memStore) HoldBack(at lsn.LSN) {
	if at != lsn.Invalid {
		m.Release(at)
	}
}

func (m *memStore) Repairing() (r walstore.Repair, owes bool) {
	m.locked(func() { r = m.owes })
	return r, r.To > m.Positions().Flushed
}

func (m *memStore) GiveUpRepair() error {
	m.locked(func() { m.owes = walstore.Repair{} })
	return nil
}

func (m *memStore) Release(to lsn.LSN) { m.locked(func() { m.held = to }) }

func (m *memStore) Promised() (p walstore.Promise) {
	m.locked(func() { p = walstore.Promise{At: m.promised, Timeline: cmp.Or(m.had, m.pos.Timeline)} })
	return p
}

func (m *memStore) SetPromised(p lsn.LSN) error {
	m.locked(func() {
		keeps := walstore.Promise{Timeline: m.had}.Beyond(m.pos) && p <= m.promised && p != lsn.Invalid
		if m.pos.Timeline != 0 && !keeps {
			m.had = m.pos.Timeline
		}
		m.promised = p
		m.promises++
	})
	return nil
}

func (m *memStore) LastComplete(_ lsn.TimelineID, at lsn.LSN) (lsn.LSN, error) { return at, nil }

func (m *memStore) EndsWithShutdownCheckpoint(end lsn.LSN) (yes bool) {
	m.locked(func() { yes = end == m.checkpoint && end == m.pos.Received })
	return yes
}

func (m *memStore) EndHold() error { return nil }

func (m *memStore) Paused() (p bool) {
	m.locked(func() { p = m.paused })
	return p
}

func (m *memStore) bytes() (s string) {
	m.locked(func() { s = string(m.data) })
	return s
}

func (m *memStore) Difference(at lsn.LSN, sent []byte) (d lsn.LSN, differs bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	stored := m.data[at-m.start:]
	for i, b := range sent {
		if stored[i] != b {
			return at + lsn.LSN(i), true, nil
		}
	}
	return 0, false, nil
}

func (m *memStore) Dated(from, to lsn.LSN) (bool, error) { return true, nil }

func (m *memStore) ReportWritten() error { return nil }

func (m *memStore) ReportFlushed() {}

func (m *memStore) Reporting(lsn.LSN) error { return nil }

// PrimaryHas notes the end of the WAL that the primary was said to have.
func (m *memStore) PrimaryHas(at lsn.LSN) error {
	m.locked(func() { m.primaryHas = at })
	return m.forgetful
}

func (m *memStore) HeldOwed() lsn.LSN { return lsn.Invalid }
