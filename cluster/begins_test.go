package cluster

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/loss"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestBeginsIsKept: a store that is about to take what was written instead of lost WAL is known to have it after a kill,
// from before the first byte on. One that has lost WAL is not, nor one that takes it from a member which does not bring
// what was written instead.
func TestBeginsIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		received lsn.LSN
		member   string
		empty    bool
		keeps    bool
	}{
		"it has none of the lost WAL":        {60, "", false, true},
		"it had nothing":                     {160, "", true, true},
		"it has lost WAL":                    {61, "", false, false},
		"the member has not given up either": {60, "c", false, false},
	} {
		dir := filepath.Join(t.TempDir(), "cluster")
		open := func(received lsn.LSN) *Node {
			s := newFakeStore(received)
			s.idle = true // nothing streams
			n, err := New(Options{
				Name: "a", Dir: dir, Store: s, Members: []string{"a", "c"}, Outbox: link.NewOutbox(),
				History: func() lsn.History { return lsn.History{Timeline: s.Positions().Timeline} },
			})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		n := open(c.received)
		n.mu.Lock()
		n.hearLosses("c", loss.Set{{ID: 3, System: 7, Timeline: 1, From: 60, To: 100}})
		n.mu.Unlock()
		if err := errors.Join(n.saveLosses(), n.Begins(c.member, c.empty)); err != nil {
			t.Fatal(err)
		}
		n = open(180) // killed; it has more WAL by then, which comes from nowhere
		if here := n.Parted(1, 60) != nil; here == c.keeps {
			t.Errorf("%s: taken for the lost WAL after a kill: %t", name, here)
		}
	}
}
