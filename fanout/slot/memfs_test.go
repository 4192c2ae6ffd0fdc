package slot

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// errCrash is returned by every call after the machine lost power.
var errCrash = errors.New("power lost")

// memFS is a directory that can lose power: content is durable after WriteSync, names after SyncDir.
// Before each step it may fail, or crash, when told so.
type memFS struct {
	rnd     *rand.Rand
	durable map[string][]byte // what a crash surely leaves
	names   []change          // renames and removals since the last SyncDir, in order
	now     map[string][]byte
	steps   int // until a crash; negative: never
	failing bool
	crashed bool
}

type change struct {
	name string
	b    []byte // nil: removed
}

func newMemFS(seed uint64) *memFS {
	return &memFS{rnd: rand.New(rand.NewPCG(seed, 1)), durable: map[string][]byte{}, now: map[string][]byte{}, steps: -1}
}

func (m *memFS) step() error {
	if m.steps == 0 {
		m.crashed = true
	}
	if m.crashed {
		return errCrash
	}
	if m.steps > 0 {
		m.steps--
	}
	if m.failing && m.rnd.IntN(3) == 0 {
		if m.rnd.IntN(2) == 0 {
			return syscall.ENOSPC
		}
		return errors.New("disk error")
	}
	return nil
}

func (m *memFS) List() ([]string, error) {
	var names []string
	for n := range m.now {
		names = append(names, n)
	}
	slices.Sort(names)
	return names, nil
}

func (m *memFS) Read(name string, limit int) ([]byte, error) {
	b, ok := m.now[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(b[:min(len(b), limit+1)]), nil
}

func (m *memFS) WriteSync(name string, b []byte) error {
	if err := m.step(); err != nil {
		torn := slices.Clone(b[:m.rnd.IntN(len(b)+1)])
		m.now[name] = torn
		m.names = append(m.names, change{name, torn})
		return err
	}
	m.now[name] = slices.Clone(b)
	m.names = append(m.names, change{name, m.now[name]})
	return nil
}

// Overwrite changes the bytes that every name of the file has, the durable ones as well.
func (m *memFS) Overwrite(name string, b []byte) error {
	have, ok := m.now[name]
	if !ok || len(have) != len(b) {
		return fs.ErrNotExist
	}
	err := m.step()
	if err == nil || m.rnd.IntN(2) == 0 {
		copy(have, b)
	}
	return err
}

func (m *memFS) Rename(from, to string) error {
	if err := m.step(); err != nil {
		return err
	}
	b, ok := m.now[from]
	if !ok {
		return fs.ErrNotExist
	}
	m.now[to] = b
	delete(m.now, from)
	m.names = append(m.names, change{to, b}, change{from, nil})
	return nil
}

func (m *memFS) Remove(name string) error {
	if err := m.step(); err != nil {
		return err
	}
	delete(m.now, name)
	m.names = append(m.names, change{name, nil})
	return nil
}

func (m *memFS) SyncDir() error {
	if err := m.step(); err != nil {
		return err
	}
	m.apply(len(m.names))
	return nil
}

func (m *memFS) apply(n int) {
	for _, c := range m.names[:n] {
		if c.b == nil {
			delete(m.durable, c.name)
		} else {
			m.durable[c.name] = c.b
		}
	}
	m.names = m.names[n:]
}

// reboot leaves durable content and a random number of the names that were changed since.
func (m *memFS) reboot() {
	m.apply(m.rnd.IntN(len(m.names) + 1))
	m.names = nil
	m.now = map[string][]byte{}
	for n, b := range m.durable {
		m.now[n] = b
	}
	m.steps, m.crashed, m.failing = -1, false, false
}
