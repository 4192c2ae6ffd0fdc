package failover

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// The store ends with a segment, which the primary that lost WAL has removed. So no stored record is seen again, and
// only the link of the next one tells. The loss is named all the same, and the operator's word is as good.
func TestLostWALShownByALink(t *testing.T) {
	t.Parallel()
	in := pgtest.Usual(t)
	c := &lossy{Site: &scene.Site{In: in, Primary: in.Primary(t, pgtest.Settings("wal_keep_size = 0", "wal_recycle = off"))}}
	c.size = c.Primary.SegSize(t)
	c.Primary.Exec(t, "CREATE TABLE t (n int)")
	c.Proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: c.Primary.Conninfo(), Config: "upstream:\n  slot: \"\"\n" + scene.AccessFile(),
	})
	c.Primary.Stop(t, pgtest.Immediate)
	c.revert = c.Primary.Snapshot(t)
	c.Primary.Start(t)
	c.Proxy.WaitReady(t)
	c.Primary.Exec(t, "INSERT INTO t VALUES (2)")
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the store to end with a segment", func() (bool, error) {
		c.Primary.Exec(t, "SELECT pg_switch_wal()") // once more if the server has logged its snapshot behind it
		c.lost = c.size.Floor(c.Primary.CurrentLSN(t) + lsn.LSN(c.size) - 1)
		return scene.Status(t, c.Proxy).Store.Received == c.lost, nil
	})
	c.Primary.Stop(t, pgtest.Immediate)
	c.Proxy.Terminate(t)

	c.revert(t)
	c.Primary.Start(t)
	for c.Primary.CurrentLSN(t) < c.lost {
		c.Primary.Exec(t, "INSERT INTO t SELECT 100 FROM generate_series(1, 1000)")
		c.Primary.Exec(t, "SELECT pg_switch_wal()")
	}
	last := filepath.Join(c.Primary.WALDir(), c.size.FileName(1, c.size.Segno(c.lost-1)))
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the primary to remove "+last, func() (bool, error) {
		c.Primary.Exec(t, "INSERT INTO t VALUES (101)")
		c.Primary.Exec(t, "CHECKPOINT")
		_, err := os.Stat(last)
		return os.IsNotExist(err), nil
	})
	c.Primary.Exec(t, "ALTER SYSTEM SET wal_keep_size = '1GB'")
	c.Primary.Exec(t, "SELECT pg_reload_conf()")
	c.Proxy.StartNoWait(t)
	st := waitLack(t, c.Proxy)
	if l, words := st.Upstream.Lack, "the primary has lost WAL up to "+c.lost.String(); !l.Lost || l.To != c.lost ||
		!strings.Contains(st.Upstream.LastError, words) || !strings.Contains(strings.Join(st.Warnings, "\n"), words) {
		t.Errorf("%+v, %s, %q", l, st.Upstream.LastError, st.Warnings)
	}
	c.givesUp(t)
}
