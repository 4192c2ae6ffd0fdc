package failover

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// A copy of the primary that lacks WAL is refused beside it. While the primary is streamed from, the word that gives
// WAL up is not taken. Nobody needs it, and it would be obeyed as soon as the primary is away for a moment. One that
// was said before the primary came back is void.
func TestNothingIsGivenUpWhileThePrimaryStreams(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	stale := in.Standby(t, pgtest.StandbyOptions{From: primary}, pgtest.Name("stale"))
	pgtest.WaitCaughtUp(t, primary, stale)
	stale.Stop(t, pgtest.Fast)
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: scene.Hosts(primary, stale)})
	primary.Exec(t, "INSERT INTO q SELECT generate_series(1, 10000)")
	flushed(t, proxy, primary.CurrentLSN(t))
	if err := os.Remove(filepath.Join(stale.Dir, "standby.signal")); err != nil {
		t.Fatal(err)
	}
	stale.Start(t) // on timeline 1, as a primary
	proxy.Restart(t)
	if st := waitLack(t, proxy); st.Upstream.State != "streaming" || !st.Upstream.Lack.Lost {
		t.Fatalf("%+v", st.Upstream)
	}
	accept := func(args ...string) (string, error) {
		args = append([]string{"accept-timeline", "1", "--data-dir", proxy.DataDir}, args...)
		out, err := exec.Command(pgtest.Binary(t), args...).CombinedOutput()
		return string(out), err
	}
	if out, err := accept(); err == nil || !strings.Contains(out, "streams from") || !strings.Contains(out, "--force") {
		t.Errorf("%v: %s", err, out)
	}
	if st := scene.Status(t, proxy); st.Accepted != nil {
		t.Errorf("a word stands: %+v", st.Accepted)
	}
	if out, err := accept("--force"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := accept("--revoke"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
