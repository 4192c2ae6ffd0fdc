package walsource

import (
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestBegunBelowTheFork: a store was emptied amid reports on timeline 2, and begins anew from the primary itself, whose
// slot is still below the fork. It follows that primary over the fork, and goes on promising what it may have reported
// of timeline 2.
func TestBegunBelowTheFork(t *testing.T) {
	m := newMemStore()
	m.promised, m.had = walstore.PromisedAll, 2
	r := with(t, Options{Store: m})
	const fork = lsn.LSN(0x1800000)
	srv := server{
		system: 7, timeline: 2, xlogpos: 0x2000000, history: forkedAt(fork), seg: 1 << 20, version: 150000,
		endpoint: "db1:5432", slotRestart: 0x1200000, slotTLI: 1,
	}
	judge := func() error {
		srv.known = r.knowledge()
		return r.judge(m.Positions(), srv)
	}
	if err := judge(); err != nil {
		t.Fatal(err)
	}
	p, err := planStart(m.Positions(), srv, resumption{})
	if err != nil || p.timeline != 1 {
		t.Fatal(p, err)
	}
	m.id = walstore.Identity{System: 7, SegSize: 1 << 20, ServerMajor: 15}
	if err := r.startStream(p, srv); err != nil || m.promised != srv.xlogpos || m.had != 2 {
		t.Fatalf("%s of timeline %s is promised, %v", m.promised, m.had, err)
	}
	m.pos.Received, m.pos.Written, m.pos.Flushed, m.pos.Complete = fork, fork, fork, fork
	if err := judge(); err != nil {
		t.Errorf("at the fork it refuses the primary from which it has begun anew: %v", err)
	}
	err = r.startStream(startPoint{timeline: 2, at: fork.PageStart()}, srv)
	if err != nil || m.promised != srv.xlogpos || m.had != 2 {
		t.Errorf("%s of timeline %s is promised, %v", m.promised, m.had, err)
	}
}
