package scene

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

// sleeper is a site whose store keeps little, and a standby that is down.
type sleeper struct {
	*Site
	Standby *pgtest.Server
	At      lsn.LSN // where it stopped
}

func NewSleeper(t *testing.T, in *pgtest.Install, wal string, settings ...string) *sleeper {
	t.Helper()
	return NewSleeperIn(t, in, "", wal, settings...)
}

func NewSleeperIn(t *testing.T, in *pgtest.Install, dataDir, wal string, settings ...string) *sleeper {
	t.Helper()
	settings = append(settings, "max_wal_size = 32MB", "min_wal_size = 2MB")
	primary := in.Primary(t, pgtest.InitArgs("--wal-segsize=1"), pgtest.Settings(settings...))
	proxy := pgtest.StartProxy(t, pgtest.ProxyOptions{
		Upstream: primary.Conninfo(), DataDir: dataDir, Config: "wal:\n" + wal,
	})
	s := &sleeper{Site: &Site{In: in, Primary: primary, Proxy: proxy}}
	s.Standby = StandbyOf(t, primary, proxy, "sleeper", "")
	pgtest.WaitCaughtUp(t, primary, s.Standby)
	s.At = s.Standby.ReplayLSN(t)
	s.Standby.Stop(t, pgtest.Fast)
	return s
}

// WaitGone waits until the store has all WAL of the primary and does not reach back to the standby. It is short by far
// more than the few segments that the tests expect to be fetched.
func (s *sleeper) WaitGone(t *testing.T) {
	t.Helper()
	const gap = 20 << 20
	end := s.Primary.CurrentLSN(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the store to drop what the standby needs", func() (bool, error) {
		st := Status(t, s.Proxy).Store
		return st.Flushed >= end && st.Oldest > s.At+gap, nil
	})
}

// Wake starts the standby and waits until it equals the primary.
func (s *sleeper) Wake(t *testing.T) admin.Backfill {
	t.Helper()
	s.Standby.Start(t)
	pgtest.WaitCaughtUp(t, s.Primary, s.Standby)
	pgtest.EqualData(t, s.Primary, s.Standby)
	pgtest.WaitStreaming(t, s.Primary, 1) // the backfill's walsender is given back
	return Status(t, s.Proxy).Backfill
}

// Fork returns the beginning of the proxy's newest timeline.
func (c *Cluster) Fork(t *testing.T) lsn.LSN {
	t.Helper()
	tli := Status(t, c.Proxy).Store.Timeline
	content, err := os.ReadFile(filepath.Join(c.Proxy.DataDir, "wal", tli.HistoryFileName()))
	if err != nil {
		t.Fatal(err)
	}
	h, err := lsn.ParseHistory(tli, content)
	if err != nil {
		t.Fatal(err)
	}
	return h.Begin()
}

// PrimaryForgets makes the primary remove what the standby needs.
func (s *sleeper) PrimaryForgets(t *testing.T) {
	t.Helper()
	Forgets(t, s.Primary, s.At)
}

// Forgets makes a primary remove the segment of at, on timeline 1.
func Forgets(t *testing.T, primary *pgtest.Server, at lsn.LSN) {
	t.Helper()
	size := primary.SegSize(t)
	needed := filepath.Join(primary.WALDir(), size.FileName(1, size.Segno(at)))
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the primary to drop the segment of "+at.String(), func() (bool, error) {
		primary.Exec(t, "CHECKPOINT")
		_, err := os.Stat(needed)
		return os.IsNotExist(err), nil
	})
}
