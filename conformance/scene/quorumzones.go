package scene

import (
	"testing"

	"github.com/replproxy/replproxy/proxy/admin"
)

func (s *QuorumSite) Zones(t *testing.T) (east, west admin.QuorumZone) {
	t.Helper()
	all := Status(t, s.Proxy).Quorum.Zones
	if len(all) != 2 || all[0].Name != "east" || all[1].Name != "west" {
		t.Fatalf("zones %+v", all)
	}
	return all[0], all[1]
}
