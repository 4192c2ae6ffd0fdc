package pgtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

func TestPrimaryAndStandby(t *testing.T) {
	ForEachMajor(t, func(t *testing.T, in *Install) {
		t.Parallel()
		primary := in.Primary(t)
		if got := primary.Scalar(t, "SHOW server_version_num"); got != fmt.Sprint(in.VersionNum) {
			t.Errorf("server_version_num %s, want %d", got, in.VersionNum)
		}
		primary.Exec(t, "CREATE TABLE t AS SELECT g AS id, repeat('x', 100) AS pad FROM generate_series(1, 1000) g")
		primary.Exec(t, "SELECT pg_create_physical_replication_slot('s1')")
		standby := in.Standby(t, StandbyOptions{From: primary, SlotName: "s1"}, Name("s1"))
		primary.Exec(t, "INSERT INTO t SELECT g, 'y' FROM generate_series(1001, 2000) g; CREATE SEQUENCE q")
		WaitCaughtUp(t, primary, standby)
		EqualData(t, primary, standby)
		rows := WaitStreaming(t, primary, 1)
		if rows[0].ApplicationName != "s1" {
			t.Errorf("application_name %q, want the server's name", rows[0].ApplicationName)
		}
		standby.Promote(t)
		standby.Exec(t, "INSERT INTO t VALUES (0, NULL)")
		if got := standby.QueryRow(t, "SELECT id, pad FROM t WHERE id = 0")[1]; got != Null {
			t.Errorf("NULL shown as %q", got)
		}
	})
}

func TestEqualDataSeesDifference(t *testing.T) {
	in := Need(t, 15)
	a, b := in.Primary(t, Name("a")), in.Primary(t, Name("b"))
	for _, s := range []*Server{a, b} {
		s.Exec(t, "CREATE TABLE t (id int); INSERT INTO t VALUES (1), (2)")
	}
	EqualData(t, a, b)
	b.Exec(t, "UPDATE t SET id = 3 WHERE id = 2")
	recorder := &recordingTB{TB: t}
	EqualData(recorder, a, b)
	if len(recorder.errors) != 1 || !strings.Contains(recorder.errors[0], "public.t") {
		t.Errorf("a differing row was reported as %q", recorder.errors)
	}
}

// recordingTB keeps errors instead of failing.
type recordingTB struct {
	testing.TB
	errors []string
}

func (r *recordingTB) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func TestSystemIdentifiersDiffer(t *testing.T) {
	in := Need(t, 15)
	seen := make(map[string]bool)
	for range 3 {
		s := in.Primary(t, Stopped())
		out := in.RunTool(t, s.SocketDir, "pg_controldata", s.Dir)
		_, rest, _ := strings.Cut(out, "Database system identifier:")
		id, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
		if id == "" || seen[id] || strings.Contains(out, "WARNING") {
			t.Errorf("system identifier %q, seen %v, in\n%s", id, seen, out)
		}
		seen[id] = true
	}
}

func TestCloneByBaseBackup(t *testing.T) {
	ForEachMajor(t, func(t *testing.T, in *Install) {
		primary := in.Primary(t, SCRAM("secret"))
		standby := in.Standby(t, StandbyOptions{From: primary, BaseBackup: primary.Conninfo()})
		WaitCaughtUp(t, primary, standby)
		EqualData(t, primary, standby)
	}, 14, 15)
}

func TestSCRAMIsDemanded(t *testing.T) {
	primary := Need(t, 18).Primary(t, SCRAM("secret"))
	primary.Exec(t, "SELECT 1")
	_, err := Query(t.Context(), primary.Conninfo("password=wrong"), "SELECT 1")
	if err == nil || !strings.Contains(err.Error(), "28P01") {
		t.Errorf("a wrong password gave %v", err)
	}
}

func TestStopKillRestart(t *testing.T) {
	s := Need(t, 15).Primary(t, InitArgs("--wal-segsize=1"), Settings("wal_level = logical"), Fsync())
	s.Exec(t, "CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
	s.Kill9(t)
	if s.Running() {
		t.Fatal("runs after kill -9")
	}
	s.Start(t)
	s.Restart(t)
	s.Stop(t, Immediate)
	s.Set(t, "work_mem = 123kB")
	s.Start(t)
	got := s.QueryRow(t, "SELECT current_setting('work_mem'), current_setting('wal_segment_size'), "+
		"current_setting('fsync'), count(*) FROM t")
	if want := "123kB 1MB on 1"; strings.Join(got, " ") != want {
		t.Errorf("after restarts: %v, want %s", got, want)
	}
	if !strings.Contains(s.Log(), "database system was not properly shut down") {
		t.Error("the log does not tell of the crash")
	}
}

func TestStandbyStartsBeforeItsUpstream(t *testing.T) {
	in := Need(t, 14)
	primary := in.Primary(t)
	standby := in.Standby(t, StandbyOptions{From: primary}, Stopped())
	primary.Stop(t, Fast)
	standby.StartNoWait(t)
	primary.Start(t)
	primary.Exec(t, "CREATE TABLE t (id int)")
	WaitCaughtUp(t, primary, standby)
	EqualData(t, primary, standby)
}

func TestToolsRunAsTheServersUser(t *testing.T) {
	in := Need(t, 15)
	s := in.Primary(t)
	dir := in.TempDir(t)
	in.RunTool(t, dir, "pgbench", "-i", "-q", s.Conninfo())
	out := in.RunTool(t, dir, "psql", "-XAtc", "SELECT count(*) FROM pgbench_accounts", s.Conninfo())
	if strings.TrimSpace(out) != "100000" {
		t.Errorf("psql printed %q", out)
	}
	in.RunTool(t, dir, "pg_basebackup", "-D", filepath.Join(dir, "b"), "-d", s.Conninfo(), "--checkpoint=fast")
	in.RunTool(t, dir, "pg_verifybackup", filepath.Join(dir, "b"))
}

func TestFreePortsAreDistinct(t *testing.T) {
	seen := make(map[int]bool)
	for range 200 {
		port := FreePort(t)
		if seen[port] {
			t.Fatalf("port %d twice", port)
		}
		seen[port] = true
	}
}

// A test process that dies leaves no server behind: the child test process is killed while it runs one.
func TestServersDieWithTheTestProcess(t *testing.T) {
	if path := os.Getenv("REPLPROXY_TEST_CHILD"); path != "" {
		s := Need(t, 15).Primary(t)
		if err := os.WriteFile(path, []byte(fmt.Sprint(s.PID())), 0o600); err != nil {
			t.Fatal(err)
		}
		select {} // until killed
	}
	path := filepath.Join(t.TempDir(), "pid")
	cmd := exec.Command(os.Args[0], "-test.run=^TestServersDieWithTheTestProcess$")
	cmd.Env = append(os.Environ(), "REPLPROXY_TEST_CHILD="+path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	WaitFor(t, time.Minute, "the child's server", func() (bool, error) {
		text, _ := os.ReadFile(path)
		n, _ := fmt.Sscan(string(text), &pid)
		return n == 1, nil
	})
	if procState(pid) == 0 {
		t.Error("the child's server does not run")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	WaitFor(t, time.Minute, "the child's server to end", func() (bool, error) { return procState(pid) == 0, nil })
}
