package walsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

const (
	// realWait bounds each wait for real servers: they share two cores with other tests.
	realWait = 60 * time.Second
	// walSenderTimeout is PostgreSQL's default for wal_sender_timeout.
	walSenderTimeout = 60 * time.Second
)

// openStore is a real store at work, in a directory of its own.
func openStore(t *testing.T, dir string) *walstore.Store {
	t.Helper()
	s, err := walstore.Open(context.Background(), walstore.Options{Dir: dir, KeepSize: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("store: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return s
}

// receive streams from conninfo into s until the test or stop ends it.
func receive(t *testing.T, conninfo string, s *walstore.Store, set func(*Options)) *running {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	up, err := upstream.Parse(conninfo)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Upstream: up, Name: "px", Store: s}
	o.Quorum, o.Slot, o.Logger = newRule(free()), "px_slot", slog.New(slog.NewTextHandler(t.Output(), nil))
	if set != nil {
		set(&o)
	}
	r, err := New(alone(o))
	if err != nil {
		t.Fatal(err)
	}
	s.OnMoved(r.Reporter())
	return run(t, r)
}

func waitFlushed(t *testing.T, s *walstore.Store, end lsn.LSN) {
	t.Helper()
	pgtest.WaitFor(t, realWait, "flushed "+end.String(), func() (bool, error) { return s.Positions().Flushed >= end, nil })
}

func load(t *testing.T, srv *pgtest.Server, rows int) lsn.LSN {
	t.Helper()
	srv.Exec(t, "CREATE TABLE IF NOT EXISTS load (id bigserial, filler text)")
	srv.Exec(t, fmt.Sprintf("INSERT INTO load (filler) SELECT repeat(md5(i::text), 20) FROM generate_series(1, %d) i", rows))
	return srv.CurrentLSN(t)
}

// equalSegments compares the stored segments with the server's pg_wal, up to end.
func equalSegments(t *testing.T, dir string, srv *pgtest.Server, s *walstore.Store, end lsn.LSN) {
	t.Helper()
	id, _ := s.Identity()
	p, compared := s.Positions(), 0
	for at := id.SegSize.Floor(p.Oldest); at < end; at += lsn.LSN(id.SegSize) {
		name := id.SegSize.FileName(p.Timeline, id.SegSize.Segno(at))
		want, err := os.ReadFile(filepath.Join(srv.Dir, "pg_wal", name))
		if errors.Is(err, os.ErrNotExist) {
			continue // recycled by the server, whose slot has moved on
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "wal", name))
		if err != nil {
			t.Fatal(err)
		}
		n := min(lsn.LSN(id.SegSize), end-at)
		if !bytes.Equal(got[:n], want[:n]) {
			t.Errorf("segment %s differs before %s", name, end)
		}
		compared++
	}
	if compared == 0 {
		t.Error("no segment was compared")
	}
}

// stopQuickly stops a primary, which waits until we have confirmed all its WAL: for wal_sender_timeout
// when we do not.
func stopQuickly(t *testing.T, srv *pgtest.Server) {
	t.Helper()
	began := time.Now()
	srv.Stop(t, pgtest.Fast)
	if d := time.Since(began); d > walSenderTimeout/2 {
		t.Errorf("the primary needed %s to shut down", d)
	}
}

func TestRealStreamRestartAndShutdown(t *testing.T) {
	srv := pgtest.Need(t, 15).Primary(t, pgtest.Settings("wal_keep_size = '1GB'", "max_wal_size = '2GB'"))
	dir := t.TempDir()
	s := openStore(t, dir)
	r := receive(t, srv.Conninfo(), s, nil)
	end := load(t, srv, 60_000) // about 50 MB
	waitFlushed(t, s, end)
	equalSegments(t, dir, srv, s, end)
	pgtest.WaitFor(t, realWait, "the report", func() (bool, error) {
		row := srv.QueryRow(t, "SELECT count(*), max(application_name), max(flush_lsn) >= '"+end.String()+
			"' FROM pg_stat_replication")
		return row[0] == "1" && row[1] == "px" && row[2] == "t", nil
	})
	pgtest.WaitFor(t, realWait, "the slot to follow the flush", func() (bool, error) {
		return srv.Scalar(t, "SELECT active AND restart_lsn >= '"+end.String()+
			"' FROM pg_replication_slots WHERE slot_name = 'px_slot'") == "t", nil
	})
	stopQuickly(t, srv)
	r.await("shutdown", func(st Status) bool {
		return strings.Contains(st.LastError, "terminated by primary") || st.State != walreceiver.Streaming
	})
	srv.Start(t)
	end = load(t, srv, 30_000)
	waitFlushed(t, s, end)
	srv.Kill9(t)
	srv.Start(t)
	end = load(t, srv, 1000)
	waitFlushed(t, s, end)
	equalSegments(t, dir, srv, s, end)
	if st := r.Status(); st.Reconnects < 2 || st.SlotState != walreceiver.SlotFound || st.InvariantViolations != 0 {
		t.Errorf("%+v", st)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if n := srv.Scalar(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'px_slot' AND restart_lsn IS NOT NULL"); n != "1" {
		t.Error("the slot is gone")
	}
	if log := srv.Log(); strings.Contains(log, "terminating walsender process due to replication timeout") {
		t.Error("the primary lost patience")
	}
}

func TestRealReopenedStoreResumes(t *testing.T) {
	srv := pgtest.Need(t, 15).Primary(t)
	dir := t.TempDir()
	var end lsn.LSN
	for round := range 3 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			s := openStore(t, dir)
			receive(t, srv.Conninfo(), s, nil)
			end = load(t, srv, 8000)
			waitFlushed(t, s, end)
			equalSegments(t, dir, srv, s, end)
		})
	}
	t.Run("another system", func(t *testing.T) {
		other := pgtest.Need(t, 15).Primary(t, pgtest.Name("other"))
		s := openStore(t, dir)
		before := s.Positions()
		r := receive(t, other.Conninfo(), s, nil)
		r.await("refusal", func(st Status) bool { return strings.Contains(st.LastError, "database system identifier differs") })
		if s.Positions() != before {
			t.Errorf("the store moved: %+v", s.Positions())
		}
		if n := other.Scalar(t, "SELECT count(*) FROM pg_replication_slots"); n != "0" {
			t.Error("a slot was left on a foreign server")
		}
	})
}

func TestRealEveryMajor(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		srv := in.Primary(t)
		dir := t.TempDir()
		s := openStore(t, dir)
		r := receive(t, srv.Conninfo(), s, nil)
		end := load(t, srv, 2000)
		waitFlushed(t, s, end)
		equalSegments(t, dir, srv, s, end)
		st := r.Status()
		if st.ServerVersionNum/10000 != in.Major || st.SlotState != walreceiver.SlotCreated || st.Settings["data_directory_mode"] != "0700" ||
			st.Settings["wal_level"] == "" || st.Settings["in_hot_standby"] == "" {
			t.Errorf("%+v", st)
		}
		stopQuickly(t, srv)
		srv.Start(t)
		end = load(t, srv, 100)
		waitFlushed(t, s, end)
		if st := r.Status(); st.SlotState != walreceiver.SlotFound {
			t.Errorf("slot %s", st.SlotState)
		}
	})
}

// TestRealPromotionOfTheUpstream: the upstream is a standby that becomes a primary while we stream;
// the same connection goes on.
func TestRealPromotionOfTheUpstream(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t)
	standby := in.Standby(t, pgtest.StandbyOptions{From: primary})
	dir := t.TempDir()
	s := openStore(t, dir)
	r := receive(t, standby.Conninfo(), s, nil)
	end := load(t, primary, 3000)
	waitFlushed(t, s, end)
	primary.Stop(t, pgtest.Fast)
	standby.Promote(t)
	end = load(t, standby, 3000)
	waitFlushed(t, s, end)
	if p := s.Positions(); p.Timeline != 2 {
		t.Errorf("%+v", p)
	}
	if st := r.Status(); st.Reconnects != 0 || st.Timeline != 2 || st.Parameters["in_hot_standby"] != "off" {
		t.Errorf("%+v", st)
	}
	equalSegments(t, dir, standby, s, end)
	if want, _ := os.ReadFile(filepath.Join(standby.Dir, "pg_wal", "00000002.history")); len(want) == 0 {
		t.Error("no history on the server")
	} else if got, err := s.HistoryFile(2); err != nil || !bytes.Equal(got, want) {
		t.Errorf("history %q, %v", got, err)
	}
}

// TestRealFailover: the primary dies, a standby that had everything is promoted; with two hosts the
// receiver finds it.
func TestRealFailover(t *testing.T) {
	in := pgtest.Need(t, 15)
	primary := in.Primary(t)
	standby := in.Standby(t, pgtest.StandbyOptions{From: primary})
	s := openStore(t, t.TempDir())
	conninfo := fmt.Sprintf("host=127.0.0.1,127.0.0.1 port=%d,%d user=postgres dbname=postgres sslmode=disable", standby.Port, primary.Port)
	r := receive(t, conninfo, s, nil)
	end := load(t, primary, 3000)
	waitFlushed(t, s, end)
	if st := r.Status(); int(st.Endpoint.Port) != primary.Port {
		t.Errorf("streams from %s", st.Endpoint)
	}
	primary.Stop(t, pgtest.Fast) // waits for both, so both have everything
	pgtest.WaitFor(t, realWait, "standby", func() (bool, error) { return standby.ReplayLSN(t) >= end, nil })
	standby.Promote(t)
	end = load(t, standby, 3000)
	waitFlushed(t, s, end)
	cur, _ := r.o.Upstream.Current()
	if st := r.Status(); int(st.Endpoint.Port) != standby.Port || st.Timeline != 2 || st.SlotState != walreceiver.SlotCreated || cur != st.Endpoint {
		t.Errorf("%+v, current %+v", st, cur)
	}
	rc, err := r.o.Upstream.DialRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rc.Close()
	if int(rc.Endpoint.Port) != standby.Port {
		t.Errorf("relays go to %s", rc.Endpoint)
	}
}

// TestRealRemovedWAL: the server no longer has what follows the store's end.
func TestRealRemovedWAL(t *testing.T) {
	srv := pgtest.Need(t, 15).Primary(t, pgtest.Settings("min_wal_size = '32MB'", "max_wal_size = '32MB'", "wal_recycle = off"))
	dir := t.TempDir()
	s := openStore(t, dir)
	r := receive(t, srv.Conninfo(), s, func(o *Options) { o.Slot = "" })
	waitFlushed(t, s, load(t, srv, 100))
	r.stop()
	before := s.Positions()
	for range 3 {
		srv.Exec(t, "SELECT pg_switch_wal()")
		load(t, srv, 100)
	}
	srv.Exec(t, "CHECKPOINT")
	srv.Exec(t, "CHECKPOINT")
	r = receive(t, srv.Conninfo(), s, func(o *Options) { o.Slot = "" })
	st := r.await("refusal", func(st Status) bool { return strings.Contains(st.LastError, "has already been removed") })
	if !strings.Contains(st.LastError, "58P01") || !strings.Contains(st.LastError, before.Received.String()) {
		t.Error(st.LastError)
	}
	if s.Positions().Received != before.Received {
		t.Errorf("%+v became %+v", before, s.Positions())
	}
}

// TestRealSegmentBeforeTheEndIsGone: the store ends with a segment, and the server has removed that one. It
// would only have been compared.
func TestRealSegmentBeforeTheEndIsGone(t *testing.T) {
	srv := pgtest.Need(t, 15).Primary(t, pgtest.Settings("min_wal_size = '32MB'", "max_wal_size = '32MB'", "wal_recycle = off"))
	dir := t.TempDir()
	s := openStore(t, dir)
	r := receive(t, srv.Conninfo(), s, func(o *Options) { o.Slot = "" })
	load(t, srv, 100)
	srv.Exec(t, "SELECT pg_switch_wal()")
	size := srv.SegSize(t)
	end := size.Floor(srv.CurrentLSN(t) + lsn.LSN(size) - 1)
	waitFlushed(t, s, end)
	r.stop()
	if p := s.Positions(); p.Received != end || !size.IsStart(end) {
		t.Fatalf("the store ends at %s, not with segment %s", p.Received, end)
	}
	last := filepath.Join(srv.WALDir(), size.FileName(1, size.Segno(end-1)))
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the server to remove "+last, func() (bool, error) {
		srv.Exec(t, "CHECKPOINT")
		_, err := os.Stat(last)
		return os.IsNotExist(err), nil
	})
	receive(t, srv.Conninfo(), s, func(o *Options) { o.Slot = "" })
	waitFlushed(t, s, load(t, srv, 100))
}
