package walsource

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestRealHistoriesPart: a loss begins where the stored bytes and the primary's part, at the end of the record before
// them. That is found although no transaction has ended for many segments, on the timelines of a primary that was
// promoted, and with no walsender but the one that asks.
func TestRealHistoriesPart(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		srv := in.Primary(t, pgtest.InitArgs("--wal-segsize=1"), pgtest.Settings("wal_keep_size = 1GB",
			"max_wal_senders = 1", "max_replication_slots = 0"))
		switched := func() {
			for range 2 {
				srv.Exec(t, "SELECT pg_switch_wal()")
				srv.Exec(t, "CHECKPOINT")
			}
		}
		t.Run("timeline 1", func(t *testing.T) { partAndLook(t, srv) })
		promote(t, srv)
		t.Run("timeline 2, in the segment where it begins", func(t *testing.T) { partAndLook(t, srv) })
		switched()
		t.Run("timeline 2, beyond that", func(t *testing.T) { partAndLook(t, srv) })
		promote(t, srv)
		t.Run("timeline 3, where it begins", func(t *testing.T) { partAndLook(t, srv) })
	}, 17)
}

// promote makes a primary go over to the next timeline.
func promote(t *testing.T, srv *pgtest.Server) {
	t.Helper()
	srv.Stop(t, pgtest.Fast)
	srv.MakeStandby(t, pgtest.StandbyOptions{PrimaryConninfo: "host=/nonexistent"})
	srv.Start(t)
	srv.Promote(t)
}

// partAndLook lets a primary lose WAL that a new store has, and looks where that begins.
func partAndLook(t *testing.T, srv *pgtest.Server) {
	dir := t.TempDir()
	s := openStore(t, dir)
	operator := new(wordOf)
	r := receive(t, srv.Conninfo(), s, func(o *Options) { o.Slot, o.Accept = "", operator })
	r.await("the stream, so that the store has a transaction before the loss", func(st Status) bool {
		return st.State == walreceiver.Streaming
	})
	load(t, srv, 10)
	srv.Exec(t, "SELECT pg_logical_emit_message(false, 'fill', repeat('x', 100000)) FROM generate_series(1, 40)")
	srv.Exec(t, "CHECKPOINT") // all that is written is complete
	at := srv.CurrentLSN(t)
	waitFlushed(t, s, at)
	srv.Stop(t, pgtest.Immediate)
	revert := srv.Snapshot(t)
	srv.Start(t)
	lost := load(t, srv, 2000)
	waitFlushed(t, s, lost)
	srv.Stop(t, pgtest.Immediate)
	revert(t)
	srv.Start(t)
	st := r.await("the refusal", func(st Status) bool { return st.Lack() != nil })
	l, differ := st.Lack(), differs(t, dir, srv, s, at)
	if !l.Lost || l.From < at || l.From > differ || l.To < lost {
		t.Errorf("%+v, at %s all was the same, at %s the bytes differ, %s was lost", l, at, differ, lost)
	}
	operator.say(s.Positions().Timeline)
	pgtest.WaitFor(t, realWait, "the word to be used", func() (bool, error) {
		operator.mu.Lock()
		defer operator.mu.Unlock()
		return operator.of != 0, nil
	})
	if operator.from != l.From || operator.to != l.To {
		t.Errorf("[%s, %s) is given up, %+v was refused", operator.from, operator.to, l)
	}
}

// differs finds, by the files of both, the first position from at on where the stored WAL is other than the primary's.
func differs(t *testing.T, dir string, srv *pgtest.Server, s *walstore.Store, at lsn.LSN) lsn.LSN {
	t.Helper()
	id, _ := s.Identity()
	p := s.Positions()
	for ; at < p.Flushed; at = id.SegSize.Floor(at) + lsn.LSN(id.SegSize) {
		name := id.SegSize.FileName(p.Timeline, id.SegSize.Segno(at))
		theirs, err1 := os.ReadFile(filepath.Join(srv.Dir, "pg_wal", name))
		ours, err2 := os.ReadFile(filepath.Join(dir, "wal", name))
		if err1 != nil || err2 != nil {
			t.Fatal(fmt.Errorf("%w, %w", err1, err2))
		}
		for n := int(at - id.SegSize.Floor(at)); n < len(theirs); n++ {
			if theirs[n] != ours[n] {
				return id.SegSize.Floor(at) + lsn.LSN(n)
			}
		}
	}
	t.Fatal("nothing differs")
	return 0
}
