package walsource

import (
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
)

// TestStreamBeginsWhileDebtCannotBeNoted: each connection to the primary tells the store where it is, so that an idle one
// pays what is owed. Where the store cannot note that, as on a full disk, WAL comes all the same.
func TestStreamBeginsWhileDebtCannotBeNoted(t *testing.T) {
	w, m := newWalsender(t, nil), newMemStore()
	m.forgetful = syscall.ENOSPC
	start(t, w, m, nil)
	c := <-w.copies
	c.send(xlog(fakeSeg, "abc"))
	c.awaitFlush(fakeSeg + 3)
	m.locked(func() {
		if m.primaryHas != 0 {
			t.Error("an empty store owes nothing")
		}
		m.owes = walstore.Repair{From: fakeSeg, To: fakeSeg << 1, Bound: fakeSeg << 1}
		m.pos.Complete = fakeSeg + 0x100 // the primary has no more: nobody looks at its WAL
	})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = <-w.copies
	c.send(xlog(fakeSeg, "abcdef"))
	c.awaitFlush(fakeSeg + 6)
	m.locked(func() {
		if m.primaryHas != fakeSeg+0x100 {
			t.Errorf("it was told %s", m.primaryHas)
		}
	})
}
