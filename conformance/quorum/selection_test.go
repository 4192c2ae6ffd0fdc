package quorum

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	votes "github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/internal/wire"
)

// TestSelection tells random histories of attach, catch up, report and detach to a real primary and to the
// evaluation: both must choose the same standbys and release the same commits.
func TestSelection(t *testing.T) {
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		h := newHistory(t, in)
		for seed, rule := range []string{
			"ANY 2 (a, b, c)", "FIRST 2 (c, A, b)", "ANY 2 (*)", "FIRST 1 (b, a)", "ANY 3 (a, *)", "FIRST 2 (a, b)",
		} {
			h.play(uint64(seed), rule)
		}
	}, 15, 18)
}

// scripted is a walreceiver that says what it is told to say.
type scripted struct {
	name    string
	pid     uint32
	slot    int // in the primary's array of walsenders: the lowest that is free
	conn    net.Conn
	streams bool // has caught up
	at      lsn.Progress
	said    copyboth.Time // when it reported last, by its own clock
}

// waiter is a client whose commit waits at one level.
type waiter struct {
	level string
	at    lsn.LSN // at most this must be covered
	done  chan error
}

// history is a primary, its walreceivers, and the same in a ledger.
type history struct {
	t       *testing.T
	primary *pgtest.Server
	sql     *pgconn.PgConn
	behind  lsn.LSN // so far back that catching up has to be waited for
	rng     *rand.Rand
	rule    syncrep.Rule
	all     []*scripted
	waiting []*waiter
	ends    []lsn.LSN // positions to report: each is beyond one more commit
	reached lsn.Progress
	clock   copyboth.Time
	trail   []string
}

func newHistory(t *testing.T, in *pgtest.Install) *history {
	h := &history{t: t}
	h.primary = in.Primary(t, pgtest.Settings("wal_sender_timeout = 0", "autovacuum = off",
		"checkpoint_timeout = 1h", "wal_keep_size = 1GB"))
	h.sql = h.primary.Connect(t)
	h.behind = h.end()
	h.query("SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()")
	return h
}

func (h *history) query(sql string) [][]string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	rows, err := pgtest.QueryConn(ctx, h.sql, sql)
	if err != nil {
		h.t.Fatalf("%s: %v", sql, err)
	}
	return rows
}

// end returns the flush position of the primary.
func (h *history) end() lsn.LSN {
	h.t.Helper()
	at, err := lsn.Parse(h.query("SELECT pg_current_wal_flush_lsn()")[0][0])
	if err != nil {
		h.t.Fatal(err)
	}
	return at
}

// play is one rule and one history under it.
func (h *history) play(seed uint64, rule string) {
	h.rng, h.reached, h.trail = rand.New(rand.NewPCG(seed, 7)), lsn.Progress{}, []string{rule}
	h.ends = []lsn.LSN{h.end()}
	var err error
	if h.rule, err = syncrep.Parse(rule); err != nil {
		h.t.Fatal(err)
	}
	h.query("ALTER SYSTEM SET synchronous_standby_names = '" + rule + "'")
	h.query("SELECT pg_reload_conf()")
	pgtest.WaitFor(h.t, time.Minute, "the rule", func() (bool, error) {
		return h.query("SHOW synchronous_standby_names")[0][0] == rule, nil
	})
	h.query("CHECKPOINT") // commits wait once the checkpointer has read the setting: it does before it works
	for range 12 {
		h.commit()
		h.act()
		h.compare()
	}
	for len(h.all) > 0 {
		h.detach(h.all[0])
	}
	h.query("ALTER SYSTEM SET synchronous_standby_names = ''")
	h.query("SELECT pg_reload_conf()")
	for _, w := range h.waiting {
		if err := <-w.done; err != nil {
			h.t.Errorf("commit: %v", err)
		}
	}
	h.waiting = nil
}

func (h *history) act() {
	switch n := h.rng.IntN(10); {
	case len(h.all) < 2 || n < 2 && len(h.all) < 5:
		h.attach(string(rune('a' + h.rng.IntN(4))))
	case n == 2:
		h.detach(h.all[h.rng.IntN(len(h.all))])
	default:
		s := h.all[h.rng.IntN(len(h.all))]
		if !s.streams && h.rng.IntN(2) == 0 {
			h.catchUp(s)
		}
		some := func(p *lsn.LSN) {
			if h.rng.IntN(4) > 0 {
				*p = max(*p, h.ends[h.rng.IntN(len(h.ends))])
			}
		}
		some(&s.at.Write)
		some(&s.at.Flush)
		some(&s.at.Apply)
		if s.at.Flush > 0 {
			// PostgreSQL's minimum under FIRST takes 0 for "not set yet": a standby that never applies then
			// holds nothing back, unless it comes last. Here 0 is 0, so that remote_apply never lies.
			s.at.Write, s.at.Apply = max(s.at.Write, h.ends[0]), max(s.at.Apply, h.ends[0])
		}
		h.note("%s (slot %d) reports %v %v %v", s.name, s.slot, s.at.Write, s.at.Flush, s.at.Apply)
	}
}

func (h *history) note(format string, args ...any) {
	h.trail = append(h.trail, fmt.Sprintf(format, args...))
}

func (h *history) attach(name string) {
	h.t.Helper()
	s := &scripted{name: name}
	for slices.ContainsFunc(h.all, func(o *scripted) bool { return o.slot == s.slot }) {
		s.slot++
	}
	pg := h.primary.Connect(h.t, "replication=true", "application_name="+name)
	s.pid = pg.PID()
	hijacked, err := pg.Hijack()
	if err != nil {
		h.t.Fatal(err)
	}
	s.conn = hijacked.Conn
	h.t.Cleanup(func() { s.conn.Close() })
	if err := s.conn.(*net.TCPConn).SetReadBuffer(32 << 10); err != nil { // so that it stays behind
		h.t.Fatal(err)
	}
	query := fmt.Sprintf("START_REPLICATION PHYSICAL %s\x00", h.behind)
	if _, err := s.conn.Write(wire.AppendFrame(nil, 'Q', []byte(query))); err != nil {
		h.t.Fatal(err)
	}
	h.all = append(h.all, s)
	h.wait(s, "catchup")
	if h.note("%s attaches in slot %d", name, s.slot); h.rng.IntN(3) > 0 {
		h.catchUp(s)
	}
}

// catchUp reads on, for as long as the session lasts.
func (h *history) catchUp(s *scripted) {
	go func() { _, _ = io.Copy(io.Discard, s.conn) }()
	s.streams = true
	h.wait(s, "streaming")
	h.note("%s (slot %d) has caught up", s.name, s.slot)
}

func (h *history) wait(s *scripted, state string) {
	h.t.Helper()
	pgtest.WaitFor(h.t, time.Minute, s.name+" to be in state "+state, func() (bool, error) {
		rows := h.query(fmt.Sprintf("SELECT state FROM pg_stat_replication WHERE pid = %d", s.pid))
		return len(rows) == 1 && rows[0][0] == state, nil
	})
}

func (h *history) detach(s *scripted) {
	h.note("%s (slot %d) detaches", s.name, s.slot)
	s.conn.Close()
	h.all = slices.DeleteFunc(h.all, func(o *scripted) bool { return o == s })
	pgtest.WaitFor(h.t, time.Minute, s.name+" to be gone", func() (bool, error) {
		return len(h.query(fmt.Sprintf("SELECT 1 FROM pg_stat_activity WHERE pid = %d", s.pid))) == 0, nil
	})
}

// commit starts one, and waits until it waits or is through.
func (h *history) commit() {
	h.t.Helper()
	w := &waiter{level: []string{"remote_write", "on", "remote_apply"}[h.rng.IntN(3)], done: make(chan error, 1)}
	conn := h.primary.Connect(h.t)
	pid := conn.PID()
	ctx := h.t.Context()
	sql := "SET synchronous_commit = " + w.level + "; SELECT pg_logical_emit_message(true, '', '')"
	go func() {
		_, err := pgtest.QueryConn(ctx, conn, sql)
		w.done <- err
		conn.Close(ctx)
	}()
	pgtest.WaitFor(h.t, time.Minute, "a commit to wait", func() (bool, error) {
		rows := h.query(fmt.Sprintf("SELECT wait_event FROM pg_stat_activity WHERE pid = %d", pid))
		return len(rows) == 0 || rows[0][0] == "SyncRep", nil
	})
	w.at = h.end()
	h.ends = append(h.ends, w.at)
	h.waiting = append(h.waiting, w)
	h.note("commit at %v waits for %s", w.at, w.level)
}

// compare lets everybody report once more, so that the primary has computed with all it knows.
func (h *history) compare() {
	h.t.Helper()
	for _, s := range h.all {
		h.clock++
		s.said = h.clock
		m := copyboth.StatusUpdate{Progress: s.at, SentAt: s.said}
		if _, err := s.conn.Write(wire.AppendFrame(nil, 'd', m.Append(nil))); err != nil {
			h.t.Fatalf("%s: %v", s.name, err)
		}
		pgtest.WaitFor(h.t, time.Minute, "the report of "+s.name, func() (bool, error) {
			rows := h.query(fmt.Sprintf("SELECT 1 FROM pg_stat_replication WHERE pid = %d "+
				"AND reply_time = '2000-01-01 UTC'::timestamptz + '%d us'", s.pid, s.said))
			return len(rows) == 1, nil
		})
	}
	res := quorum.Evaluate(h.rule, h.voters())
	h.compareStates(res)
	h.compareLedger(res)
	if res.Satisfied {
		p := &h.reached
		p.Write, p.Flush = max(p.Write, res.Positions.Write), max(p.Flush, res.Positions.Flush)
		p.Apply = max(p.Apply, res.Positions.Apply)
	}
	h.compareReleases()
}

func (h *history) voters() (voters []quorum.Voter) {
	for _, s := range h.all {
		voters = append(voters, quorum.Voter{Name: s.name, ID: uint64(s.slot), Streaming: s.streams, Positions: s.at})
	}
	return voters
}

// compareStates is about sync_state.
func (h *history) compareStates(res quorum.Result) {
	h.t.Helper()
	for i, v := range h.voters() {
		chosen := !res.Satisfied || slices.Contains(quorum.Chosen(h.rule, h.voters()), v) // fewer than the rule counts: all that there are
		want := "potential"
		switch {
		case quorum.Priority(h.rule, v) == 0 || v.Positions.Flush == 0:
			want = "async"
		case !v.Streaming || !chosen:
		case h.rule.Method == syncrep.Any:
			want = "quorum"
		default:
			want = "sync"
		}
		rows := h.query(fmt.Sprintf("SELECT sync_state FROM pg_stat_replication WHERE pid = %d", h.all[i].pid))
		if len(rows) != 1 || rows[0][0] != want {
			h.t.Fatalf("%s (slot %d) is %v, expected %s, after\n%s", v.Name, v.ID, rows, want, h.story())
		}
	}
}

// compareReleases is about commits: all that are covered get through, no other.
func (h *history) compareReleases() {
	h.t.Helper()
	left := h.waiting[:0]
	for _, w := range h.waiting {
		covered := map[string]lsn.LSN{
			"remote_write": h.reached.Write, "on": h.reached.Flush, "remote_apply": h.reached.Apply,
		}[w.level]
		if w.at <= covered {
			select {
			case err := <-w.done:
				if err != nil {
					h.t.Fatal(err)
				}
			case <-time.After(time.Minute):
				h.t.Fatalf("the commit at %v still waits for %s, covered up to %v, after\n%s", w.at, w.level, covered, h.story())
			}
			continue
		}
		select {
		case err := <-w.done:
			h.t.Fatalf("the commit at %v got through (%v), %s is covered up to %v only, after\n%s", w.at, err, w.level, covered, h.story())
		default:
		}
		left = append(left, w)
	}
	h.waiting = left
}

// compareLedger holds the ledger to the same where no two sessions share a name: there it is more careful
// than PostgreSQL (ruling R6).
func (h *history) compareLedger(res quorum.Result) {
	h.t.Helper()
	l, err := votes.New(votes.Options{Node: "proxy", Rule: vote.Rule{RuleText: vote.RuleText{Names: h.rule.String()}}})
	if err != nil {
		h.t.Fatal(err)
	}
	now, names := time.Now(), map[string]bool{}
	for i, s := range h.all {
		if names[s.name] {
			return
		}
		names[s.name] = true
		id := uint64(i + 1)
		if err := l.Attach(now, id, vote.Standby, strings.ToUpper(s.name), 1); err != nil {
			h.t.Fatal(err)
		}
		l.Ack(now, votes.Ack{
			Incarnation: id, Timeline: 1, Received: votes.Max, Sent: votes.Max,
			Progress: s.at, Streaming: s.streams,
		})
	}
	var got votes.Evaluation
	if l.Evaluate(&got, now, 1, 1); got.Progress != res.Positions {
		h.t.Fatalf("the ledger covers %+v, PostgreSQL %+v, after\n%s", got.Progress, res.Positions, h.story())
	}
}

func (h *history) story() string { return strings.Join(h.trail, "\n") }
