package scene

import (
	"strconv"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// horizon returns the xmin values that the primary keeps for the proxy.
func (s *Site) horizon(t *testing.T, slot string) string {
	t.Helper()
	sql := "SELECT min(backend_xmin::text) FROM pg_stat_replication WHERE state = 'streaming'"
	if slot != "" {
		sql = "SELECT xmin FROM pg_replication_slots WHERE slot_name = '" + slot + "'"
	}
	return s.Primary.Scalar(t, sql)
}

// WaitHorizon waits until the primary and the proxy agree on the oldest transaction that is kept, for holder.
func (s *Site) WaitHorizon(t *testing.T, slot, holder string, is func(uint64) bool) {
	t.Helper()
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the primary to keep what "+holder+" needs", func() (bool, error) {
		f, text := Status(t, s.Proxy).Feedback, s.horizon(t, slot)
		x, err := strconv.ParseUint(text, 10, 64)
		return err == nil && f.XminOf == holder && is(f.Xmin) && is(x), nil
	})
}
