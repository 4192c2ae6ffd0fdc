package failover

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

const (
	coveredRule = "synchronous_standby_names: 'ANY 1 (v1, v2)'\n"
	reportHeld  = "standbys: {\"report_*\": {send_when: covered}}\n"
	// behind is the distance of the voter from the end of the store when the primary dies: more than any message.
	behind = 1 << 20
)

// TestCoveredStandbyFollows: the primary dies amid a bulk load while the voter is behind, which is promoted. A standby
// that does not vote, but gets WAL no sooner than the rule covers it, follows without pg_rewind and equals the new
// primary. `make soak WHAT=covered` plays that 50 times.
func TestCoveredStandbyFollows(t *testing.T) {
	t.Parallel()
	n, began := stories(t, 2), time.Now()
	for range n {
		tell(t, func(t *testing.T) {
			s := newCoveredStory(t, reportHeld)
			if fork, has := s.failOver(t); has > fork {
				t.Fatalf("the standby has WAL up to %s, the fork is at %s", has, fork)
			}
			s.follows(t)
		})
	}
	t.Logf("soak: covered: %d failovers amid a bulk load, the standby followed each without pg_rewind, %.0f s each",
		n, time.Since(began).Seconds()/float64(n))
}

// TestReceivedStandbyIsAhead is the same story without the setting: the standby is ahead, and does not come back.
func TestReceivedStandbyIsAhead(t *testing.T) {
	t.Parallel()
	n, ahead := stories(t, 1), 0
	for range n {
		tell(t, func(t *testing.T) {
			s := newCoveredStory(t, "")
			if fork, has := s.failOver(t); has > fork {
				ahead++
				s.WaitWarning(t, "standby report_1 has WAL up to")
			}
		})
	}
	if ahead == 0 {
		t.Errorf("in %d failovers the standby was never ahead: the story shows nothing", n)
	}
	t.Logf("soak: received: ahead in %d of %d failovers", ahead, n)
}

// tell tells one story, whose servers end with it.
func tell(t *testing.T, story func(*testing.T)) {
	t.Helper()
	if !t.Run("story", story) {
		t.FailNow()
	}
}

// stories counts those that are told: some in an ordinary run, REPLPROXY_STORIES in a soak.
func stories(t *testing.T, some int) int {
	t.Helper()
	if text := os.Getenv("REPLPROXY_STORIES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("REPLPROXY_STORIES: %q", text)
		}
		return n
	}
	return some
}

// coveredStory is a primary whose commits wait for one of two voters, a standby that does not vote, and a load.
type coveredStory struct {
	scene.QuorumSite
	config        string
	voter, second *pgtest.Server
	report        *pgtest.Server
	ledger        *scene.Ledger
}

func newCoveredStory(t *testing.T, config string) *coveredStory {
	t.Helper()
	in := pgtest.Usual(t)
	settings := pgtest.Settings("wal_keep_size = 1GB", "max_wal_size = 1GB", "wal_log_hints = on")
	primary := in.Primary(t, settings)
	in.RunTool(t, primary.SocketDir, "pgbench", "-i", "-q", primary.Conninfo())
	primary.Exec(t, "CREATE TABLE bulk (n bigint, pad text)")
	file := func(servers ...*pgtest.Server) string {
		return fmt.Sprintf("upstream: {conninfo: %q}\n%s%s", scene.Hosts(servers...), coveredRule, config)
	}
	s := &coveredStory{config: config}
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Config: file(primary)})
	s.Site = &scene.Site{In: in, Primary: primary, Proxy: proxy}
	s.voter, s.second = s.Standby(t, "v1", "", settings), s.Standby(t, "v2", "", settings)
	s.report = s.Standby(t, "report_1", "", settings)
	proxy.Configure(t, file(primary, s.voter))
	proxy.Signal(syscall.SIGHUP)
	scene.WaitSatisfiable(t, proxy)
	s.WaitSync(t)
	return s
}

// rows are the proxy's standbys, by name.
func (s *coveredStory) rows(t *testing.T) (store admin.Store, by map[string]admin.Standby) {
	t.Helper()
	st := scene.Status(t, s.Proxy)
	by = map[string]admin.Standby{}
	for _, row := range st.Standbys {
		by[row.ApplicationName] = row
	}
	return st.Store, by
}

// failOver kills the primary amid a load while the voter that is there is behind, and promotes that. It
// gives the fork, and how far the standby that does not vote had WAL when the primary was dead.
func (s *coveredStory) failOver(t *testing.T) (fork, has lsn.LSN) {
	t.Helper()
	s.ledger = scene.StartLedger(t, s.Primary, map[string]string{"a": s.Proxy.Conninfo(), "b": s.Proxy.Conninfo()})
	bench := s.In.Tool(t, s.Primary.SocketDir, "pgbench", "-n", "-c", "2", "-T", "3600", s.Primary.Conninfo())
	if err := bench.Start(); err != nil {
		t.Fatal(err)
	}
	s.ledger.WaitProgress(t, 20)
	s.second.Stop(t, pgtest.Fast) // or it would be ahead, by what lies in its socket
	s.ledger.WaitProgress(t, 20)
	bulk := s.Primary.Connect(t)
	bulkOver := make(chan error, 1)
	go func() {
		_, err := pgtest.QueryConn(t.Context(), bulk, "INSERT INTO bulk SELECT g, repeat(md5(g::text), 10) "+
			"FROM generate_series(1, 100000000) g")
		bulkOver <- err
	}()
	resume := scene.Pause(t, s.voter)
	_, by := s.rows(t)
	most := by["v1"].Sent // it has written no more than that, and reported less
	pgtest.WaitFor(t, time.Minute, "the voter to be behind", func() (bool, error) {
		store, by := s.rows(t)
		return store.Received > most+behind && (s.config != "" || by["report_1"].Flush > most+behind), nil
	})
	s.Primary.Kill9(t)
	_ = bench.Wait() // its server is gone
	<-bulkOver
	has = scene.ParseLSN(t, s.report.Scalar(t, "SELECT pg_last_wal_receive_lsn()"))
	s.promote(t, resume)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to be on timeline 2", func() (bool, error) {
		return scene.Status(t, s.Proxy).Store.Timeline == 2, nil
	})
	s.second.Start(t)
	history, err := os.ReadFile(filepath.Join(s.voter.WALDir(), "00000002.history"))
	if err != nil {
		t.Fatal(err)
	}
	return scene.ParseLSN(t, strings.Fields(string(history))[1]), has
}

// promote promotes the voter, whose walreceiver stands still, so that it gets nothing more: that is told to end before
// it goes on.
func (s *coveredStory) promote(t *testing.T, resume func()) {
	t.Helper()
	standby := s.voter
	pid := standby.Scalar(t, "SELECT pid FROM pg_stat_wal_receiver")
	standby.Exec(t, "SELECT pg_promote(false)")
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the walreceiver of "+standby.Name+" to be told to end", func() (bool, error) {
		status, err := os.ReadFile("/proc/" + pid + "/status")
		_, pending, found := strings.Cut(string(status), "ShdPnd:\t")
		if err != nil || !found {
			return false, fmt.Errorf("no signals of %s: %w", pid, err)
		}
		mask, err := strconv.ParseUint(strings.Fields(pending)[0], 16, 64)
		return mask&(1<<(syscall.SIGTERM-1)) != 0, err
	})
	resume()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, standby.Name+" to be a primary", func() (bool, error) {
		return standby.Scalar(t, "SELECT pg_is_in_recovery()") == "f", nil
	})
}

// follows shows that the standby follows the new primary, still held at what the rule covers, that it has every
// acknowledged row, and none that the primary lacks.
func (s *coveredStory) follows(t *testing.T) {
	t.Helper()
	s.ledger.WaitProgress(t, 20)
	acked := s.ledger.Stop()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the standby to stream timeline 2", func() (bool, error) {
		rows := s.report.SQL(t, "SELECT received_tli FROM pg_stat_wal_receiver")
		return len(rows) == 1 && rows[0][0] == "2", nil
	})
	pgtest.WaitCaughtUp(t, s.voter, s.report)
	pgtest.EqualData(t, s.voter, s.report)
	s.ledger.Verify(t, s.voter)
	s.ledger.Verify(t, s.report)
	if acked < 40 {
		t.Errorf("%d rows were acknowledged", acked)
	}
	sums := s.report.QueryRow(t, "SELECT (SELECT sum(abalance) FROM pgbench_accounts), "+
		"(SELECT sum(bbalance) FROM pgbench_branches), (SELECT sum(delta) FROM pgbench_history)")
	if sums[0] != sums[1] || sums[0] != sums[2] {
		t.Errorf("pgbench's sums are %v", sums)
	}
	if _, by := s.rows(t); by["report_1"].SendWhen != "covered" {
		t.Errorf("the standby is not held: %+v", by["report_1"])
	}
}
