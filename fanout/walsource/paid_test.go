package walsource

import (
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestPaidStaysPromised: WAL that may have been reported stays promised when the debt for it is paid, up to where the
// primary says it is. Until then it is told as owed, and not as the end of what was reported.
func TestPaidStaysPromised(t *testing.T) {
	m := newMemStore()
	m.id = walstore.Identity{System: 7, SegSize: 1 << 20, ServerMajor: 15}
	m.pos = walstore.Positions{Timeline: 1, Received: 0x1800000, Written: 0x1800000, Flushed: 0x1800000, Complete: 0x1800000}
	m.owes = walstore.Repair{From: 0x1800000, To: 0x2800000, Bound: 0x2800000}
	m.promised = 0x2800000
	r := with(t, Options{Store: m})
	if p := r.Promised(); p.LSN != 0x1800000 {
		t.Errorf("while it is owed %s is told as reported", p.LSN)
	}
	for _, at := range []lsn.LSN{0x2900000, 0x1900000} { // more than the bound says nothing
		if err := r.bounded(at); err != nil {
			t.Fatal(err)
		}
	}
	if m.primaryHas != 0x1900000 || m.promised != 0x1900000 {
		t.Errorf("the store was told %s, %s is promised", m.primaryHas, m.promised)
	}
	m.owes = walstore.Repair{}
	m.pos.Received, m.pos.Complete = 0x2000000, 0x2000000
	if p := r.Promised(); p.LSN != 0x1900000 {
		t.Errorf("once it is paid %s is promised", p.LSN)
	}
}
