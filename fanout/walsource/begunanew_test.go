package walsource

import (
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestBegunAnewIsFollowedAgain: a store was emptied amid reports, and nobody knows how far they went. It begins anew,
// from the primary. That one is followed again after a cut, and what was promised ends at what it had.
func TestBegunAnewIsFollowedAgain(t *testing.T) {
	w, m := newWalsender(t, map[string][]byte{
		"IDENTIFY_SYSTEM": ready(row("IDENTIFY_SYSTEM", fakeSystem, "1", "0/1000008", "NULL")),
	}), newMemStore()
	m.promised, m.had = walstore.PromisedAll, 1
	r := start(t, w, m, nil)
	c := <-w.copies
	c.send(xlog(fakeSeg, "abcdefgh"))
	r.await("WAL", func(s Status) bool { return s.Received == fakeSeg+8 })
	if p := r.Promised(); p.LSN != fakeSeg+8 || p.Timeline != 1 {
		t.Errorf("promised is %s", p)
	}
	_ = c.Close()
	r.await("the next stream, or a refusal", func(s Status) bool { return len(w.copies) > 0 || s.Lack() != nil })
	if e := r.Status().Lack(); e != nil {
		t.Errorf("it is refused: %v", e)
	}
}

// TestAllThatWasStoredIsNoRecordsEnd: a store that was emptied amid reports has begun anew behind another proxy, which
// says nothing of how far they went. The server of that timeline is not refused by it.
func TestAllThatWasStoredIsNoRecordsEnd(t *testing.T) {
	m := newMemStore()
	m.id = walstore.Identity{System: 7}
	m.promised = walstore.PromisedAll
	m.pos = walstore.Positions{Timeline: 1, Oldest: 0x1000000, Received: 0x1004000, Complete: 0x1004000}
	primary := server{system: 7, timeline: 1, xlogpos: 0x1005000, history: lsn.History{Timeline: 1}, endpoint: "db1:5432"}
	if e := with(t, Options{Store: m}).knowledge().lack(primary); e != nil {
		t.Errorf("it is refused: %v", e)
	}
}
