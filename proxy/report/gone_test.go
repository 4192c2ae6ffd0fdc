package report

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/proxy/admin"
)

// TestGoneAfterALoss: once the primary that has lost WAL is stopped, as status asked for, it is still said that it must
// not be started again. That ends with a server that is followed, and when the WAL is given up.
func TestGoneAfterALoss(t *testing.T) {
	t.Parallel()
	at := admin.LostBy{Host: "db1:5432", Timeline: 2, From: 0x3000000, To: 0x4000000}
	unknown, before := at, at
	unknown.From, before.Host = 0, ""
	const behind = ": do not start it again, and promote a server that has that WAL: docs/failover.md, The primary has lost WAL"
	for name, c := range map[string]struct {
		u       admin.Upstream
		word    *admin.Accepted
		restart bool
		want    string
	}{
		"nothing was lost": {admin.Upstream{}, nil, false, ""},
		"it is away": {admin.Upstream{LostBy: &at}, nil, false,
			"db1:5432, which does not answer now, has lost WAL from 0/3000000 to 0/4000000 of timeline 2" + behind},
		"nobody knows from where on": {admin.Upstream{LostBy: &unknown}, nil, false,
			"db1:5432, which does not answer now, has lost WAL up to 0/4000000 of timeline 2" + behind},
		"before the start": {admin.Upstream{LostBy: &before}, nil, false,
			"the primary, which does not answer now, has lost WAL from 0/3000000 to 0/4000000 of timeline 2" + behind},
		"it is there":     {admin.Upstream{LostBy: &at, Lack: &admin.Lack{Lost: true}}, nil, false, ""},
		"one is followed": {admin.Upstream{LostBy: &at, State: admin.Streaming}, nil, false, ""},
		"it is given up":  {admin.Upstream{LostBy: &at}, nil, true, ""},
		"it is to be":     {admin.Upstream{LostBy: &at}, &admin.Accepted{Timeline: 2, Of: 2, To: 0x4000000}, false, ""},
		"something else was": {admin.Upstream{LostBy: &at}, &admin.Accepted{Timeline: 3, Forced: true}, false,
			"db1:5432, which does not answer now, has lost WAL from 0/3000000 to 0/4000000 of timeline 2" + behind},
	} {
		if got := strings.Join(goneWarnings(&c.u, c.word, c.restart), "|"); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
