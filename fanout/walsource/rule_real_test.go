package walsource

import (
	"context"
	"fmt"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// commit inserts a row on a session of its own; what the session was told comes over the channel.
func commit(t *testing.T, srv *pgtest.Server) <-chan error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), realWait)
	t.Cleanup(cancel)
	done := make(chan error, 1)
	go func() {
		_, err := pgtest.Query(ctx, srv.Conninfo(), "INSERT INTO waits VALUES (1)")
		done <- err
	}()
	return done
}

func waiting(t *testing.T, srv *pgtest.Server, n int) {
	t.Helper()
	pgtest.WaitFor(t, realWait, fmt.Sprintf("%d commits to wait", n), func() (bool, error) {
		return srv.Scalar(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == fmt.Sprint(n), nil
	})
}

// TestRealShutdownWithVotersMissing: the primary stops although the rule can't be satisfied, after few
// words, and no commit that waited is acknowledged by that. wal_sender_timeout is off: nothing else than
// the released position can end the stop.
func TestRealShutdownWithVotersMissing(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		srv := in.Primary(t, pgtest.Settings("synchronous_standby_names = 'px'", "wal_sender_timeout = 0"))
		srv.Exec(t, "SET synchronous_commit = local; CREATE TABLE waits (i int)")
		s, q := openStore(t, t.TempDir()), newRule(upTo(0))
		r := receive(t, srv.Conninfo(), s, func(o *Options) { o.Quorum = q })
		waitFlushed(t, s, srv.CurrentLSN(t))
		q.set(upTo(s.Positions().Flushed)) // so that it counts as synchronous
		commits := []<-chan error{commit(t, srv), commit(t, srv)}
		waiting(t, srv, len(commits))
		r.await("the first report", func(st Status) bool { return st.Promised > 0 })
		before := r.Status()
		srv.Stop(t, pgtest.Fast)
		for _, done := range commits {
			if err := <-done; err == nil {
				t.Error("a commit that only the proxy has was acknowledged")
			}
		}
		st := r.await("the stream's end", func(st Status) bool { return st.State != walreceiver.Streaming })
		if st.ShutdownReleases != 1 || st.Promised != before.Promised || st.Reported.Flush != 0 && st.Reported.Flush <= before.Reported.Flush {
			t.Errorf("%+v, before %+v", st, before)
		}
		if n := st.Reports - before.Reports; n > 100 {
			t.Errorf("%d reports during the stop, for %d pings", n, st.Pings-before.Pings)
		}
		if !strings.Contains(srv.Log(), "canceling the wait for synchronous replication and terminating connection") {
			t.Error("no commit was waiting when the primary stopped")
		}
	}, 14, 18)
}

// TestRealCrashRecoveryReleasesNoCommit: crash recovery ends with a shutdown checkpoint as well, and an
// idle primary pings behind it. What is confirmed then, a later commit does not profit from.
func TestRealCrashRecoveryReleasesNoCommit(t *testing.T) {
	srv := pgtest.Need(t, 15).Primary(t, pgtest.Settings("synchronous_standby_names = 'px'", "wal_sender_timeout = 2s"))
	srv.Exec(t, "SET synchronous_commit = local; CREATE TABLE waits (i int)")
	s, q := openStore(t, t.TempDir()), newRule(upTo(0))
	r := receive(t, srv.Conninfo(), s, func(o *Options) {
		o.Quorum = q
		o.StatusInterval = -1 // or the primary need not ping
	})
	waitFlushed(t, s, srv.CurrentLSN(t))
	q.set(upTo(s.Positions().Flushed))
	lost := commit(t, srv)
	waiting(t, srv, 1)
	srv.Kill9(t)
	if <-lost == nil {
		t.Error("a commit on a primary that died was acknowledged")
	}
	srv.Start(t)
	r.await("a ping behind the record", func(st Status) bool {
		return st.State == walreceiver.Streaming && st.ShutdownReleases > 0 && st.Received == s.Positions().Received
	})
	done := commit(t, srv)
	waiting(t, srv, 1)
	at := srv.CurrentLSN(t)
	waitFlushed(t, s, at)
	pings := r.Status().Pings
	r.await("more pings", func(st Status) bool { return st.Pings > pings+1 })
	if st := r.Status(); st.Reported.Flush >= at || st.Promised >= at {
		t.Errorf("%s was reported, the commit waits for %s", st.Reported.Flush, at)
	}
	waiting(t, srv, 1)
	q.set(upTo(at))
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := r.Status().Promised; got < at {
		t.Errorf("promised %s", got)
	}
}

// TestRealTimelineLacksAcknowledgedWAL: a promoted server lacks WAL that was reported under a rule. It is
// not followed, not after a restart either, until the operator accepts its timeline; what was received
// but never reported is no reason.
func TestRealTimelineLacksAcknowledgedWAL(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = '1GB'"))
	candidate := in.Standby(t, pgtest.StandbyOptions{From: primary})
	conninfo := fmt.Sprintf("host=127.0.0.1,127.0.0.1 port=%d,%d user=postgres dbname=postgres sslmode=disable",
		primary.Port, candidate.Port)
	dir, operator := t.TempDir(), new(wordOf)
	end := load(t, primary, 100)
	pgtest.WaitFor(t, realWait, "candidate", func() (bool, error) { return candidate.ReplayLSN(t) >= end, nil })
	q := newRule(upTo(0))
	with := func(o *Options) {
		o.Quorum, o.Accept = q, operator
	}
	var acknowledged lsn.LSN
	refused := func(t *testing.T, r *running) {
		t.Helper()
		st := r.await("refusal", func(st Status) bool { return st.Lack() != nil })
		if l := *st.Lack(); l.Timeline != 2 || l.To != acknowledged || l.From >= l.To ||
			!strings.Contains(st.LastError, l.Error()) || st.State == walreceiver.Streaming {
			t.Errorf("%+v: %s", l, st.LastError)
		}
	}
	t.Run("promotion", func(t *testing.T) {
		s := openStore(t, dir)
		r := receive(t, conninfo, s, with)
		waitFlushed(t, s, end)
		candidate.Stop(t, pgtest.Fast)
		acknowledged = load(t, primary, 100)
		waitFlushed(t, s, acknowledged)
		q.set(upTo(acknowledged))
		r.await("the report", func(st Status) bool { return st.Reported.Flush == acknowledged })
		waitFlushed(t, s, load(t, primary, 100)) // never reported
		primary.Kill9(t)
		candidate.Start(t)
		candidate.Promote(t)
		refused(t, r)
	})
	t.Run("restart", func(t *testing.T) {
		s := openStore(t, dir)
		before := s.Positions()
		r := receive(t, conninfo, s, with)
		refused(t, r)
		if s.Positions() != before {
			t.Errorf("%+v became %+v", before, s.Positions())
		}
	})
	t.Run("acceptance", func(t *testing.T) {
		operator.say(2)
		q.set(given{})
		s := openStore(t, dir)
		r := receive(t, conninfo, s, with)
		at := load(t, candidate, 100)
		pgtest.WaitFor(t, realWait, "timeline 2", func() (bool, error) { return s.Positions().Timeline == 2, nil })
		waitFlushed(t, s, at)
		st := r.Status()
		if p := s.Positions(); p.Timeline != 2 || st.Lack() != nil || st.Promised >= acknowledged {
			t.Errorf("%+v %+v", p, st)
		}
		if operator.open == 2 || operator.of != 1 || operator.from >= operator.to || operator.to != acknowledged {
			t.Errorf("given up are %s to %s", operator.from, operator.to)
		}
	})
}
