package quorum

import (
	"fmt"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// newQuorumSite starts standbys s1, s2, … behind a proxy with a rule, and then makes the primary wait.
func newQuorumSite(t *testing.T, in *pgtest.Install, rule string, standbys int) *scene.QuorumSite {
	t.Helper()
	s := &scene.QuorumSite{Site: scene.NewSiteWith(t, in, pgtest.ProxyOptions{Config: scene.RuleFile(rule)})}
	s.Primary.Exec(t, "CREATE TABLE q (n int)")
	for i := range standbys {
		s.Standbys = append(s.Standbys, s.Standby(t, fmt.Sprintf("s%d", i+1), "", pgtest.Settings("hot_standby_feedback = off")))
	}
	s.WaitSync(t)
	return s
}
