package failover

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// TestHeldTailIsFed: the primary is dead. b had more WAL than a, and has lost its newest; a has a part of what b owes. Once
// both are fenced b takes what a has, so that a candidate at b is fed with it. It goes on owing the rest.
func TestHeldTailIsFed(t *testing.T) {
	t.Parallel()
	primary := pgtest.Usual(t).Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	all := scene.ClusterOf(t, primary.Conninfo(), scene.RuleFile("ANY 1 (a, b)"), "a", "b")
	a, b := all[0], all[1]
	primary.Exec(t, "SELECT pg_switch_wal()")
	primary.Exec(t, "INSERT INTO q SELECT generate_series(1, 3000)")
	at := primary.CurrentLSN(t)
	flushed(t, a, at)
	flushed(t, b, at)
	a.Signal(syscall.SIGSTOP)
	primary.Exec(t, "INSERT INTO q SELECT generate_series(1, 150000)") // far more than sockets hold
	flushed(t, b, primary.CurrentLSN(t))
	primary.Kill9(t)
	b.Kill9(t)
	removeNewest(t, b, 1)
	a.Signal(syscall.SIGCONT)
	b.StartNoWait(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "b to answer", func() (bool, error) {
		code, _, err := b.Get(t.Context(), "/status")
		return err == nil && code == 200, nil
	})
	a.Program(t, "fence", "--timeline", "1", "--data-dir", a.DataDir)
	fence := exec.Command(pgtest.Binary(t), "fence", "--timeline", "1", "--data-dir", b.DataDir)
	if out, err := fence.CombinedOutput(); err == nil || !strings.Contains(string(out), "its end is not known") {
		t.Errorf("b is fenced: %v, %s", err, out)
	}
	flushed(t, b, scene.Status(t, a).Store.Flushed)
	if st := scene.Status(t, b).Store; st.RepairTo <= st.Flushed {
		t.Errorf("nothing is owed any more: %+v", st)
	}
}
