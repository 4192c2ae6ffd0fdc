package main

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/proxy/admin"
)

// TestLostWALElsewhere: while the primary is followed nobody is told to give up what a copy of it lacks; while a primary
// is refused, and WAL comes from a member or not at all, that is the way out.
func TestLostWALElsewhere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		state   walreceiver.State
		member  string
		accepts bool
	}{
		{walreceiver.Streaming, "", false}, {walreceiver.Streaming, "proxy_b", true}, {walreceiver.Disconnected, "", true},
	} {
		u := admin.Upstream{State: string(c.state), Member: c.member,
			Lack: &admin.Lack{Timeline: 1, Of: 1, From: 16, To: 32, Lost: true}}
		got := strings.Join(ruleWarnings(&u, false), "")
		if !strings.Contains(got, "has lost WAL") || strings.Contains(got, "accept-timeline") != c.accepts {
			t.Errorf("%s from %q: %q", c.state, c.member, got)
		}
	}
}
