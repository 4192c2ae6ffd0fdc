package failover

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// Somebody removes all files of a proxy's WAL directory while it runs. It ends before it votes with WAL that no name leads
// to, and commits go on by the other one. Started again it receives the WAL anew, and counts.
func TestWALIsRemovedWhileItRuns(t *testing.T) {
	t.Parallel()
	primary := pgtest.Usual(t).Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	all := scene.ClusterOf(t, primary.Conninfo(), scene.RuleFile("ANY 1 (a, b)"), "a", "b")
	a := all[0]
	primary.Set(t, "synchronous_standby_names = 'ANY 1 (a, b)'")
	primary.Reload()
	scene.WaitSatisfiable(t, all...)
	primary.Exec(t, "INSERT INTO q VALUES (1)")
	files, err := filepath.Glob(filepath.Join(a.DataDir, "wal", "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	primary.Exec(t, "INSERT INTO q VALUES (2)")
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "a to end", func() (bool, error) { return !a.Running(), nil })
	scene.Logged(t, a.Name, a.Log, "was removed, moved away or replaced while it was in use")
	primary.Exec(t, "INSERT INTO q VALUES (3)")
	a.Start(t)
	scene.WaitSatisfiable(t, all...)
	primary.Exec(t, "INSERT INTO q VALUES (4)")
	flushed(t, a, primary.CurrentLSN(t))
}
