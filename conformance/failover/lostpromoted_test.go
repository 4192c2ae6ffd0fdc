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

// A primary has lost WAL that the proxy owes, has written more, and was promoted then: its timeline begins beyond what was
// lost. It is refused. The operator's word ends that, and a standby with the lost WAL gets nothing more until it is made
// anew: PostgreSQL would let it go on below the fork.
func TestLostBeforeAPromotion(t *testing.T) {
	t.Parallel()
	insert := func(p *pgtest.Server) { p.Exec(t, "INSERT INTO t SELECT 3 FROM generate_series(1, 3000)") }
	l := newLossy(t, insert, pgtest.ProxyOptions{Config: scene.RuleFile("ANY 1 (s1)")})
	l.Proxy.Terminate(t)
	removeNewest(t, l.Proxy, 1)
	l.revert(t)
	l.Primary.Start(t)
	l.overtake(t)
	l.Primary.Stop(t, pgtest.Fast)
	if err := os.WriteFile(filepath.Join(l.Primary.Dir, "standby.signal"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	l.Primary.Start(t)
	l.Primary.Promote(t)
	l.Proxy.StartNoWait(t)
	lack := waitLack(t, l.Proxy).Upstream.Lack
	if lack.Lost || lack.Timeline != 2 || lack.Of != 1 || lack.From != lsn.Invalid || lack.To > l.lost {
		t.Errorf("%+v, %s was lost", lack, l.lost)
	}
	end := scene.Status(t, l.Proxy).Store.Received
	l.Proxy.Program(t, "accept-timeline", "2", "--data-dir", l.Proxy.DataDir)
	l.Proxy.WaitReady(t)
	l.Primary.Exec(t, "SET synchronous_commit = local; INSERT INTO t SELECT -100 FROM generate_series(1, 3000)")
	l.has(t, l.Primary.CurrentLSN(t))
	given := scene.Status(t, l.Proxy).GivenUp
	if len(given) != 1 || given[0].Timeline != 1 || given[0].To < l.lost || given[0].From == lsn.Invalid || given[0].From > end {
		t.Errorf("%+v is given up, the store ended at %s, %s was lost", given, end, l.lost)
	}
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the standby to be refused", func() (bool, error) {
		return strings.Contains(l.s1.Log(), `standby "s1" may have WAL beyond`), nil
	})
	if rows := l.s1.Scalar(t, "SELECT count(*) FROM t WHERE n IN (100, -100)"); rows != "0" {
		t.Errorf("the standby has %s rows of the other history", rows)
	}
}
