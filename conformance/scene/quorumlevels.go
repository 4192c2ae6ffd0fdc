package scene

import (
	"fmt"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/proxy/admin"
)

func syncText(r admin.Standby) string {
	return fmt.Sprintf("%s %s %d", r.ApplicationName, r.SyncState, r.SyncPriority)
}

type StandbyRow admin.Standby

// WaitStates waits until the proxy shows exactly these standbys, as "name sync_state sync_priority".
func (s *QuorumSite) WaitStates(t *testing.T, want ...string) {
	t.Helper()
	pgtest.WaitFor(t, time.Minute, "sync states", func() (bool, error) {
		rows := Status(t, s.Proxy).Standbys
		if len(rows) != len(want) {
			return false, nil
		}
		have := map[string]bool{}
		for _, r := range rows {
			have[syncText(r)] = true
		}
		for _, w := range want {
			if !have[w] {
				return false, nil
			}
		}
		return true, nil
	})
}
