package afterlock

import "sync"

// Mutex is a sync.Mutex with work for the time when it is free again. The zero value is unlocked. Do not copy it once
// it was used.
type Mutex struct {
	mu    sync.Mutex
	after []func()
}

// Lock blocks until the caller holds m.
func (m *Mutex) Lock() { m.mu.Lock() }

// Unlock gives m back, then does what After left, in that order, on the caller's goroutine.
func (m *Mutex) Unlock() {
	after := m.after
	m.after = nil
	m.mu.Unlock()
	for _, f := range after {
		f()
	}
}

// After leaves f for the time when m has been given back. The caller holds m. f may take m.
func (m *Mutex) After(f func()) { m.after = append(m.after, f) }
