package scene

import (
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// Failover kills the primary when the candidate and the proxy have all of its WAL, and promotes.
func (c *Cluster) Failover(t *testing.T) {
	t.Helper()
	pgtest.WaitCaughtUp(t, c.Primary, c.Candidate)
	end := c.Primary.CurrentLSN(t)
	pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to have all", func() (bool, error) {
		return Status(t, c.Proxy).Store.Flushed >= end, nil
	})
	c.Primary.Stop(t, pgtest.Immediate)
	c.Candidate.Promote(t)
}
