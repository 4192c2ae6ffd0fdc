package crash

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestWALFetch: a standby that has nothing but restore_command follows through a proxy's store, over the
// fork of its timeline.
func TestWALFetch(t *testing.T) {
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.InitArgs("--wal-segsize=1"), pgtest.Settings("wal_keep_size = 1GB", "max_wal_size = 1GB"))
	primary.Stop(t, pgtest.Fast)
	primary.MakeStandby(t, pgtest.StandbyOptions{PrimaryConninfo: "host=127.0.0.1 port=1 user=nobody"})
	primary.Start(t)
	primary.Promote(t) // so there is a history file
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo()})

	command := fmt.Sprintf(`%s wal-fetch --from "%s" %%f "%%p"`, pgtest.Binary(t), proxy.Conninfo())
	standby := in.Standby(t, pgtest.StandbyOptions{From: primary, NoWAL: true}, pgtest.Name("archived"), pgtest.Stopped())
	standby.Set(t, "primary_conninfo = ''", "restore_command = '"+command+"'", "wal_retrieve_retry_interval = 100ms")
	standby.Start(t)
	primary.Exec(t, scene.LoadTable)
	scene.Fill(t, primary, 5)
	primary.Exec(t, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
	at := primary.CurrentLSN(t)
	primary.Exec(t, "SELECT pg_switch_wal()")
	standby.WaitReplay(t, at)
	pgtest.EqualData(t, primary, standby)

	dir := in.TempDir(t)
	size := primary.SegSize(t)
	segment := func(at lsn.LSN) string { return size.FileName(2, size.Segno(at)) }
	fetch := func(name string, from ...string) (int, string) {
		t.Helper()
		args := append([]string{"wal-fetch", name, "RECOVERYXLOG"}, from...)
		cmd := exec.CommandContext(t.Context(), pgtest.Binary(t), args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PGUSER=postgres")
		out, err := cmd.CombinedOutput()
		if err != nil && !errors.As(err, new(*exec.ExitError)) {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), string(out)
	}
	from := "--from=" + proxy.Conninfo()
	for name, want := range map[string]int{
		"00000002.history": 0, segment(at): 0, segment(at + 64<<20): 1, "00000003.history": 1,
		"000000030000000000000005": 1, "000000010000000000000001": 1, "pg_wal/RECOVERYXLOG": 255,
	} {
		code, out := fetch(name, from)
		if code != want || code != 255 && out != "" {
			t.Errorf("%s: exit code %d, expected %d: %s", name, code, want, out)
		}
		got, _ := os.ReadFile(filepath.Join(dir, "RECOVERYXLOG"))
		original, _ := os.ReadFile(filepath.Join(primary.WALDir(), name))
		if code == 0 && (len(got) == 0 || !bytes.Equal(got, original)) || code != 0 && got != nil {
			t.Errorf("%s: exit code %d, %d bytes, the primary's has %d", name, code, len(got), len(original))
		}
		_ = os.Remove(filepath.Join(dir, "RECOVERYXLOG"))
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if code, out := fetch(segment(at), "--from=host=127.0.0.1 port=1"); code != 255 || !strings.Contains(out, "refused") {
		t.Errorf("no proxy: exit code %d: %s", code, out)
	}
	// The primary has a segment that the proxy has not got yet: that is no end of WAL.
	pid, err := strconv.Atoi(primary.Scalar(t, "SELECT pid FROM pg_stat_replication WHERE application_name = 'proxy'"))
	if err != nil {
		t.Fatal(err)
	}
	late := primary.CurrentLSN(t)
	for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
		if sig == syscall.SIGCONT {
			break
		}
		t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
		primary.Exec(t, "SELECT pg_logical_emit_message(false, '', 'x'), pg_switch_wal()")
		if code, out := fetch(segment(late), from); code != 255 || !strings.Contains(out, "has not caught up") {
			t.Errorf("the proxy is behind: exit code %d: %s", code, out)
		}
	}
	if code, out := fetch(segment(late), from); code != 0 {
		t.Errorf("the proxy was behind: exit code %d: %s", code, out)
	}
	_ = os.Remove(filepath.Join(dir, "RECOVERYXLOG"))
	// A segment's file is gone from the store: it is fetched.
	removed := filepath.Join(proxy.DataDir, "wal", segment(at))
	proxy.Restart(t)
	if err := os.Remove(removed); err != nil {
		t.Fatal(err)
	}
	if code, out := fetch(segment(at), from); code != 0 {
		t.Errorf("gone from the store: exit code %d: %s", code, out)
	}
	_ = os.Remove(filepath.Join(dir, "RECOVERYXLOG"))
	if err := os.WriteFile(filepath.Join(dir, "standby.signal"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := fetch(segment(at), "--from=host=127.0.0.1 port=1"); code != 1 || !strings.Contains(out, "refused") {
		t.Errorf("no proxy, a standby: exit code %d: %s", code, out)
	}
	if code, out := fetch("x", "--frobnicate"); code != 255 || !strings.Contains(out, "unknown flag") {
		t.Errorf("unknown flag: exit code %d: %s", code, out)
	}
}
