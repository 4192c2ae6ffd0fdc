package slots

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// ruleGated configures a proxy with a rule gate.
const ruleGated = "synchronous_standby_names: 'ANY 1 (s1)'\nslots: {rule_gate: gate}\nfeedback: {settle: 1s}\n"

func ruleGatedPrimary(more ...string) pgtest.Option {
	return pgtest.Settings(append(more, "wal_level = logical", "synchronized_standby_slots = 'gate'")...)
}

// TestRuleGate: a logical walsender on the primary waits until the rule covers its WAL, with no WARNING. It goes on
// when a standby behind the proxy has that WAL, and the primary's fast stop waits for the same.
func TestRuleGate(t *testing.T) {
	pgtest.ForEachMajor(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		s := scene.NewSiteWith(t, in, pgtest.ProxyOptions{Config: ruleGated}, ruleGatedPrimary())
		s.CreateSlot(t, "s1")
		standby := s.Standby(t, "s1", "s1")
		prepareWords(t, s.Primary)
		words := subscribe(t, s.Primary)
		s.Primary.Exec(t, "INSERT INTO t VALUES ('before')")
		words.expect(t, "before")
		if u := scene.Status(t, s.Proxy).Upstream; u.GateState != "used" || u.SlotFollows != "flushed" {
			t.Errorf("%+v", u)
		}

		standby.Stop(t, pgtest.Fast)
		s.Primary.Exec(t, "INSERT INTO t VALUES ('while it slept')")
		end := s.Primary.CurrentLSN(t)
		waitsForGate(t, s.Primary)
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the store to have it, and the gate to be shown", func() (bool, error) {
			st := scene.Status(t, s.Proxy)
			return st.Store.Flushed >= end && st.Upstream.GateHeld > 0 && st.Upstream.GateRestart < end, nil
		})
		waitWarned(t, s.Proxy, "logical consumers that wait for gate")
		if words.more() {
			t.Error("a subscriber has what the standby lacks")
		}
		s.Proxy.Kill9(t)
		s.Proxy.Start(t)
		waitsForGate(t, s.Primary)
		if words.more() {
			t.Error("a subscriber has what the standby lacks, after a restart of the proxy")
		}
		standby.Start(t)
		words.expect(t, "while it slept")

		s.Primary.Exec(t, "INSERT INTO t SELECT 'row ' || n FROM generate_series(1, 1000) n")
		s.Primary.Stop(t, pgtest.Fast)
		words.expect(t, "row 1000")
		if log := s.Primary.Log(); strings.Contains(log, "does not have active_pid") {
			t.Error("the primary complains of the gate")
		}
	}, 17, 18)
}

// TestRuleGateStop: a primary that is to stop while the rule is not satisfied does so all the same, and the rule gate
// lets nothing pass that is not covered.
func TestRuleGateStop(t *testing.T) {
	t.Parallel()
	s := scene.NewSiteWith(t, pgtest.Need(t, 17), pgtest.ProxyOptions{Config: ruleGated}, ruleGatedPrimary())
	s.CreateSlot(t, "s1")
	standby := s.Standby(t, "s1", "s1")
	prepareWords(t, s.Primary)
	words := subscribe(t, s.Primary)
	s.Primary.Exec(t, "INSERT INTO t VALUES ('covered')")
	words.expect(t, "covered")
	standby.Stop(t, pgtest.Fast)
	s.Primary.Exec(t, "INSERT INTO t VALUES ('not covered')")
	waitsForGate(t, s.Primary)
	s.Primary.Stop(t, pgtest.Fast)
	if words.more() {
		t.Error("a subscriber has what the standby lacks")
	}
	s.Primary.Start(t)
	words = subscribe(t, s.Primary)
	waitsForGate(t, s.Primary)
	if words.more() {
		t.Error("a subscriber has what the standby lacks, after the restart")
	}
	standby.Start(t)
	words.expect(t, "not covered")
}

// TestRuleGateLost: the primary invalidates the rule gate while the rule is not satisfied. It is made anew once it is,
// the stream goes on meanwhile, and nothing passes before.
func TestRuleGateLost(t *testing.T) {
	t.Parallel()
	s := scene.NewSiteWith(t, pgtest.Need(t, 17), pgtest.ProxyOptions{Config: ruleGated}, pgtest.InitArgs("--wal-segsize=1"),
		ruleGatedPrimary("wal_keep_size = 0", "max_slot_wal_keep_size = 4MB", "max_wal_size = 4MB", "min_wal_size = 2MB"))
	s.CreateSlot(t, "s1")
	standby := s.Standby(t, "s1", "s1")
	prepareWords(t, s.Primary)
	words := subscribe(t, s.Primary)
	s.Primary.Exec(t, "INSERT INTO t VALUES ('before')")
	words.expect(t, "before")
	words.leave() // or the consumer's own slot is lost first
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "its slot to go", func() (bool, error) {
		return s.Primary.Scalar(t, "SELECT count(pg_drop_replication_slot(slot_name)) FROM pg_replication_slots "+
			"WHERE slot_name = 'app' AND NOT active") == "1", nil
	})
	standby.Stop(t, pgtest.Fast)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the gate to be lost", func() (bool, error) {
		scene.Fill(t, s.Primary, 3)
		end := s.Primary.CurrentLSN(t).String()
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "our own slot to follow", func() (bool, error) {
			rows := s.Primary.SQL(t, "SELECT restart_lsn >= '"+end+"' FROM pg_replication_slots WHERE slot_name = "+
				"'replproxy_proxy'")
			return len(rows) == 1 && rows[0][0] == "t", nil // it may be lost too, and is made anew then
		})
		s.Primary.Exec(t, "CHECKPOINT")
		return scene.Status(t, s.Proxy).Upstream.GateState == "lost", nil
	})
	waitWarned(t, s.Proxy, "has invalidated gate")
	end := s.Primary.CurrentLSN(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the stream to go on", func() (bool, error) {
		return scene.Status(t, s.Proxy).Store.Flushed >= end, nil
	})
	s.Primary.Exec(t, "SELECT pg_create_logical_replication_slot('app', 'test_decoding', false, false, true)")
	words = subscribe(t, s.Primary)
	s.Primary.Exec(t, "INSERT INTO t VALUES ('while it was lost')")
	waitsForGate(t, s.Primary)
	standby.Start(t)
	words.expect(t, "while it was lost")
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the gate to be used", func() (bool, error) {
		return scene.Status(t, s.Proxy).Upstream.GateState == "used", nil
	})
}

// TestRuleGateHolder: one member has the rule gate. When it dies, or its session does nothing any more, another takes
// it.
func TestRuleGateHolder(t *testing.T) {
	for via, more := range map[string]string{"primary": "", "cluster": "upstream: {via: cluster}\n"} {
		t.Run("via="+via, func(t *testing.T) {
			t.Parallel()
			testGateHolder(t, more)
		})
	}
}

func testGateHolder(t *testing.T, more string) {
	in := pgtest.Need(t, 17)
	primary := in.Primary(t, ruleGatedPrimary("wal_keep_size = 1GB"))
	all := scene.ClusterOf(t, primary.Conninfo(), strings.Replace(ruleGated, "(s1)", "(s1, s2)", 1)+more, "pa", "pb")
	for i, p := range all { // either is enough, as the rule asks for one
		scene.StandbyOf(t, primary, p, []string{"s1", "s2"}[i], "")
	}
	scene.WaitSatisfiable(t, all...)
	prepareWords(t, primary)
	words := subscribe(t, primary)
	say := func(word string) {
		t.Helper()
		primary.Exec(t, "INSERT INTO t VALUES ('"+word+"')")
		words.expect(t, word)
	}
	say("before")
	holder := func() *pgtest.Proxy {
		for _, p := range all {
			if p.Running() && scene.Status(t, p).Upstream.GateState == "used" {
				return p
			}
		}
		return nil
	}
	ends := func(what string) (first, other *pgtest.Proxy) {
		t.Helper()
		if first = holder(); first == nil {
			t.Fatal("nobody has the gate: " + what)
		}
		other = all[0]
		if other == first {
			other = all[1]
		}
		return first, other
	}
	first, other := ends("at first")
	first.Kill9(t)
	say("its holder was killed")
	if h := holder(); h != other {
		t.Errorf("not taken over: %v", h)
	}
	first.Start(t)
	say("it is back")
	scene.WaitSatisfiable(t, all...)
	first, other = ends("then")
	first.Signal(syscall.SIGSTOP) // its walsender stays
	say("its holder is frozen")
	if h := scene.Status(t, other).Upstream.GateState; h != "used" {
		t.Errorf("the other one says %s", h)
	}
	first.Signal(syscall.SIGCONT)
	if u := scene.Status(t, other).Upstream; u.GateTaken == 0 {
		t.Errorf("not taken over: %+v", u)
	}
	say("both are there")
}

// prepareWords makes a table and who wants to know what is in it.
func prepareWords(t *testing.T, primary *pgtest.Server) {
	t.Helper()
	primary.Exec(t, "CREATE TABLE t (word text)")
	primary.Exec(t, "SELECT pg_create_logical_replication_slot('app', 'test_decoding', false, false, true)")
}

// waitWarned waits for a warning of the status.
func waitWarned(t *testing.T, proxy *pgtest.Proxy, words string) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "a warning of "+words, func() (bool, error) {
		return strings.Contains(strings.Join(scene.Status(t, proxy).Warnings, "\n"), words), nil
	})
}

// waitsForGate waits until a logical walsender waits for slots of standbys.
func waitsForGate(t *testing.T, primary *pgtest.Server) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the logical walsender to wait", func() (bool, error) {
		return primary.Scalar(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'WaitForStandbyConfirmation'") == "1", nil
	})
}

// subscription reads the output of test_decoding, from a walsender of the primary, and confirms it.
type subscription struct {
	conn  *pgconn.PgConn
	lines chan string
	done  chan struct{}
}

func subscribe(t *testing.T, primary *pgtest.Server) *subscription {
	t.Helper()
	conn := primary.Connect(t, "replication=database")
	conn.Frontend().SendQuery(&pgproto3.Query{String: "START_REPLICATION SLOT app LOGICAL 0/0"})
	err := conn.Conn().SetDeadline(time.Now().Add(3 * pgtest.ReplayTimeout))
	if err == nil {
		err = conn.Frontend().Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	w := &subscription{conn: conn, lines: make(chan string, 5000), done: make(chan struct{})}
	go w.read()
	t.Cleanup(w.leave)
	return w
}

func (w *subscription) leave() {
	w.conn.Conn().Close()
	<-w.done
}

func (w *subscription) read() {
	defer close(w.done)
	defer close(w.lines)
	for {
		m, err := w.conn.Frontend().Receive()
		if err != nil {
			return
		}
		d, ok := m.(*pgproto3.CopyData)
		if !ok {
			continue
		}
		at := lsn.Invalid
		switch d.Data[0] {
		case 'w':
			x, _ := copyboth.DecodeXLogData(d.Data)
			at = x.Start
			w.lines <- string(d.Data[25:])
		case 'k':
			k, _ := copyboth.DecodePrimaryKeepalive(d.Data)
			at = k.WALEnd
		}
		w.conn.Frontend().Send(&pgproto3.CopyData{
			Data: copyboth.StatusUpdate{Progress: lsn.Progress{Write: at, Flush: at, Apply: at}}.Append(nil),
		})
		_ = w.conn.Frontend().Flush()
	}
}

// expect waits for a row with that word.
func (w *subscription) expect(t *testing.T, word string) {
	t.Helper()
	for line := range w.lines {
		if strings.Contains(line, fmt.Sprintf("'%s'", word)) {
			return
		}
	}
	t.Fatalf("the stream ended before %q", word)
}

// more reports whether a row is there already.
func (w *subscription) more() bool {
	for {
		select {
		case line := <-w.lines:
			if strings.Contains(line, "INSERT") {
				return true
			}
			if line == "" {
				return false
			}
		default:
			return false
		}
	}
}
