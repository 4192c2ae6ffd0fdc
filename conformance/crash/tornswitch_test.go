package crash

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestCrashWhileSwitching: a primary crashed while it wrote the zeros behind an XLOG_SWITCH, so that a recycled segment's
// old bytes are there still. PostgreSQL reads nothing behind that record. The proxy follows, with zeros there, whether
// it had some of them before the crash or nothing of that segment, and serves standbys (ruling R37).
func TestCrashWhileSwitching(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"), pgtest.InitArgs("--wal-segsize=1"))
	early := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo(), Name: "early"})
	late := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: primary.Conninfo(), Name: "late"})
	standbys := []*pgtest.Server{scene.StandbyOf(t, primary, early, "s1", ""), scene.StandbyOf(t, primary, late, "s2", "")}
	primary.Exec(t, "CREATE TABLE switched (i int)")
	for _, s := range standbys {
		pgtest.WaitCaughtUp(t, primary, s)
	}
	if code := late.Terminate(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	primary.Exec(t, "INSERT INTO switched VALUES (1)")
	at, size := primary.CurrentLSN(t), primary.SegSize(t)
	primary.Exec(t, "SELECT pg_switch_wal()")
	pgtest.WaitCaughtUp(t, primary, standbys[0])
	primary.Kill9(t)
	tearSwitch(t, primary, size, at)

	primary.Start(t)
	late.Start(t)
	primary.Exec(t, "INSERT INTO switched VALUES (2)")
	for _, s := range standbys {
		pgtest.WaitCaughtUp(t, primary, s)
		pgtest.EqualData(t, primary, s)
	}
	name := filepath.Join("wal", size.FileName(1, size.Segno(at)))
	a, err := os.ReadFile(filepath.Join(early.DataDir, name))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(late.DataDir, name))
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("the stores differ: %v", err)
	}
}

// tearSwitch puts other bytes behind the last record of the segment that holds at, in its page and behind it.
func tearSwitch(t *testing.T, primary *pgtest.Server, size lsn.SegSize, at lsn.LSN) {
	t.Helper()
	name := filepath.Join(primary.WALDir(), size.FileName(1, size.Segno(at)))
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	end := (len(bytes.TrimRight(b, "\x00")) + 7) &^ 7
	if end < int(size.Offset(at)) || end > len(b)-3*lsn.PageSize {
		t.Fatalf("the last record of %s ends at %d", name, end)
	}
	for i := end; i < len(b); i += 3 {
		b[i] = byte(i) | 1
	}
	copy(b[len(b)-2*lsn.PageSize:], b[:lsn.PageSize]) // as of a recycled segment
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
}
