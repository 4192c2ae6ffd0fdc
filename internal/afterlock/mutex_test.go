package afterlock

import (
	"slices"
	"testing"
)

// TestAfter: what was left is done once, in order, and with the lock free.
func TestAfter(t *testing.T) {
	var m Mutex
	var did []int
	m.Lock()
	for i := range 2 {
		m.After(func() {
			m.Lock()
			defer m.Unlock()
			did = append(did, i)
		})
	}
	if did != nil {
		t.Fatal("done under the lock")
	}
	m.Unlock()
	m.Lock()
	did = slices.Clone(did)
	m.Unlock()
	if !slices.Equal(did, []int{0, 1}) {
		t.Errorf("did %v", did)
	}
}
