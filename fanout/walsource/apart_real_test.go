package walsource

import (
	"context"
	"fmt"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"log/slog"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/fanout/realslot"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// receiveApart is receive with a held slot, which is advanced until the test or stop ends it.
func receiveApart(t *testing.T, conninfo string, s *walstore.Store, set func(*Options)) (*running, *realslot.ProxySlot) {
	t.Helper()
	up, err := upstream.Parse(conninfo)
	if err != nil {
		t.Fatal(err)
	}
	var r *running
	own := realslot.NewProxySlot(realslot.ProxySlotOptions{
		Upstream: up, Slot: "px_slot", Flushed: func() lsn.LSN { return s.Positions().Flushed },
		FeedbackSent: func() bool { return r.Status().FeedbackSent },
		Following:    func() (upstream.Endpoint, lsn.SystemID, lsn.TimelineID, bool) { return r.Following() },
		Logger:       slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	r = receive(t, conninfo, s, func(o *Options) {
		o.HeldSlot = own
		set(o)
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- own.Run(ctx) }()
	stop := r.stop
	r.stop = func() error {
		cancel()
		if done != nil {
			if err := <-done; err != nil {
				t.Error(err)
			}
			done = nil
		}
		return stop()
	}
	t.Cleanup(func() { r.stop() })
	return r, own
}

// slotFlag is a boolean about the slot on the primary.
func slotFlag(t *testing.T, srv *pgtest.Server, what string) string {
	t.Helper()
	return srv.Scalar(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'px_slot' AND "+what)
}

// TestRealRuleKeepsNoWALOnThePrimary: nothing may be reported, and the primary lets its WAL go all the
// same; what it writes while the proxy is away it keeps. max_slot_wal_keep_size is small: a slot that
// followed the reports would be lost.
func TestRealRuleKeepsNoWALOnThePrimary(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		srv := in.Primary(t, pgtest.InitArgs("--wal-segsize=1"), pgtest.Settings("max_slot_wal_keep_size = 24MB",
			"wal_keep_size = 0", "min_wal_size = 2MB", "max_wal_size = 8MB", "wal_recycle = off"))
		dir := t.TempDir()
		fill := func(mb int) lsn.LSN {
			srv.Exec(t, fmt.Sprintf("SELECT pg_logical_emit_message(false, 'fill', repeat('x', 1 << 20)) FROM generate_series(1, %d)", mb))
			return srv.CurrentLSN(t)
		}
		t.Run("streaming", func(t *testing.T) {
			s := openStore(t, dir)
			r, own := receiveApart(t, srv.Conninfo(), s, func(o *Options) { o.Quorum = newRule(upTo(0)) })
			end := srv.CurrentLSN(t)
			waitFlushed(t, s, end)
			for range 3 {
				end = fill(12)
				waitFlushed(t, s, end)
				pgtest.WaitFor(t, realWait, "the slot to follow the store", func() (bool, error) {
					return slotFlag(t, srv, "NOT active AND restart_lsn >= '"+end.String()+"'") == "1", nil
				})
				srv.Exec(t, "CHECKPOINT")
				srv.Exec(t, "CHECKPOINT")
			}
			if n := srv.Scalar(t, "SELECT count(*) < 15 FROM pg_ls_waldir()"); n != "t" {
				t.Error("the primary keeps WAL that the store has: " + srv.Scalar(t, "SELECT count(*) FROM pg_ls_waldir()"))
			}
			st := r.Status()
			if st.Reported != (lsn.Progress{}) || !st.SlotApart || !st.Ruled || st.Reconnects != 0 {
				t.Errorf("%+v", st)
			}
			pgtest.WaitFor(t, realWait, "the status", func() (bool, error) { return own.Status().Restart >= end, nil })
			o := own.Status()
			if !o.Held || !o.Known || o.State != "reserved" || o.Safe == nil || o.HeldBytes > 1<<20 || o.Recreated != 0 {
				t.Errorf("%+v", o)
			}
			// An operator drops it: it is made anew, and nothing is interrupted.
			srv.Exec(t, "SELECT pg_drop_replication_slot('px_slot')")
			pgtest.WaitFor(t, realWait, "the slot to be made anew", func() (bool, error) {
				return slotFlag(t, srv, "restart_lsn IS NOT NULL") == "1", nil
			})
			waitFlushed(t, s, fill(1))
			pgtest.WaitFor(t, realWait, "the count", func() (bool, error) { return own.Status().Recreated == 1, nil })
			if st := r.Status(); st.Reconnects != 0 {
				t.Errorf("%+v", st)
			}
			if err := r.stop(); err != nil {
				t.Error(err)
			}
			if own.Status().Held {
				t.Error("held by nobody's order")
			}
		})
		end := fill(12)
		srv.Exec(t, "CHECKPOINT")
		srv.Exec(t, "CHECKPOINT")
		t.Run("after a break", func(t *testing.T) {
			s := openStore(t, dir)
			receiveApart(t, srv.Conninfo(), s, func(o *Options) { o.Quorum = newRule(upTo(0)) })
			waitFlushed(t, s, end)
			equalSegments(t, dir, srv, s, srv.CurrentLSN(t))
		})
	}, 14, 15, 18)
}

// TestRealRuleIsSet: the slot changes hands when a rule is set and taken away. Feedback that it bore goes
// over to the stream, and back.
func TestRealRuleIsSet(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		srv := in.Primary(t)
		s, q := openStore(t, t.TempDir()), newRule(free())
		next := srv.Scalar(t, "SELECT pg_snapshot_xmax(pg_current_snapshot())")
		var xid uint64
		if _, err := fmt.Sscan(next, &xid); err != nil {
			t.Fatal(err)
		}
		f := &fakeFeedback{changed: make(chan struct{}, 1), settled: true, now: copyboth.HotStandbyFeedback{Xmin: copyboth.FullXID(xid)}}
		r, own := receiveApart(t, srv.Conninfo(), s, func(o *Options) { o.Quorum, o.Feedback = q, f })
		stream := func(what string) string {
			return srv.Scalar(t, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND "+what)
		}
		follows := func(what string, ok func() bool) {
			t.Helper()
			pgtest.WaitFor(t, realWait, what, func() (bool, error) { return ok(), nil })
		}
		follows("the slot to bear the feedback", func() bool { return slotFlag(t, srv, "active AND xmin = '"+next+"'") == "1" })
		q.set(upTo(s.Positions().Flushed))
		follows("the stream to bear it", func() bool {
			return stream("backend_xmin = '"+next+"'") == "1" && slotFlag(t, srv, "NOT active AND xmin IS NULL") == "1"
		})
		if st := r.Status(); !st.SlotApart || !own.Status().Held {
			t.Errorf("%+v", st)
		}
		q.set(free())
		follows("the slot to bear it again", func() bool { return slotFlag(t, srv, "active AND xmin = '"+next+"'") == "1" })
		end := load(t, srv, 100)
		follows("the slot to follow the reports", func() bool { return slotFlag(t, srv, "restart_lsn >= '"+end.String()+"'") == "1" })
		if st := r.Status(); st.SlotApart || own.Status().Held {
			t.Errorf("%+v", st)
		}
	}, 14, 18)
}

// TestRealNoSQL: a role that may replicate, but not log in for SQL, streams with its slot.
func TestRealNoSQL(t *testing.T) {
	srv := pgtest.Need(t, 15).Primary(t, pgtest.HBA("host replication all all trust"))
	s := openStore(t, t.TempDir())
	r, own := receiveApart(t, srv.Conninfo(), s, func(o *Options) { o.Quorum = newRule(upTo(0)) })
	st := r.await("the stream", func(st Status) bool { return st.State == walreceiver.Streaming })
	if st.SlotApart || !st.Ruled || own.Status().Held {
		t.Errorf("%+v", st)
	}
}
