package preflight

import (
	"cmp"

	"github.com/replproxy/replproxy/proxy/admin"
)

// Running judges a proxy that runs by what it says of itself.
func Running(s *admin.Status) []Check {
	u := &s.Upstream
	c := Check{Name: "running proxy", Level: OK, Text: s.Name + " streams from " + u.Endpoint}
	refused := u.Lack != nil && u.Member != "" // the primary is, and WAL comes from a member all the same
	if u.State != admin.Streaming || u.Stopped != "" || refused {
		c.Level, c.Text = Fail, s.Name+" does not follow a primary, it is "+u.State
		if why := cmp.Or(u.Stopped, u.LastError); why != "" {
			c.Text += ": " + why
		}
		c.Remedy = "See replproxy status and docs/runbook.md, The upstream is not followed."
	}
	return []Check{c}
}
