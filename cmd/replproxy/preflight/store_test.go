package preflight

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
)

// TestStoreAndUpstream: what run would refuse before it streams, check refuses.
func TestStoreAndUpstream(t *testing.T) {
	own := walstore.Identity{System: 1, SegSize: 16 << 20, ServerMajor: 15}
	for name, c := range map[string]struct {
		change func(*walstore.Identity)
		want   string // "": it passes
	}{
		"its own":        {func(*walstore.Identity) {}, ""},
		"another system": {func(id *walstore.Identity) { id.System = 2 }, "database system 2, but the upstream is 1"},
		"segments":       {func(id *walstore.Identity) { id.SegSize = 1 << 20 }, "segments of"},
		"major version":  {func(id *walstore.Identity) { id.ServerMajor = 14 }, "PostgreSQL 14, but the upstream is 15"},
	} {
		f := goodFacts()
		f.Settings["wal_segment_size"], f.Disk.Store = "16MB", own
		c.change(&f.Disk.Store)
		checks := Judge(goodSetup(), f)
		said := ""
		for _, one := range checks {
			if one.Name == storeName {
				said = one.Text
			}
		}
		if Passed(checks) != (c.want == "") || !strings.Contains(said, c.want) || said == "" {
			t.Errorf("%s: %q", name, said)
		}
	}
	if checks := store(goodSetup(), goodFacts()); checks != nil {
		t.Errorf("an empty store: %+v", checks)
	}
}
