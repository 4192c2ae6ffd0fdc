package physical_test

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// Before 15 a stream from a standby needs IDENTIFY_SYSTEM first (trap K40; a primary knows its
// timeline by itself).
func TestStartBeforeIdentifySystem(t *testing.T) {
	in := pgtest.Need(t, 14)
	primary := in.Primary(t)
	standby := in.Standby(t, pgtest.StandbyOptions{From: primary})
	pgtest.WaitCaughtUp(t, primary, standby)
	for _, server := range []*pgtest.Server{primary, standby} {
		w := newWorld(t, server, worldOptions{})
		at := primary.CurrentLSN(t).String()
		direct, through := connect(t, server.Conninfo()), connect(t, w.conninfo())
		want, got := direct.query("START_REPLICATION "+at), through.query("START_REPLICATION "+at)
		if got != want || strings.Contains(want, "55000") != (server == standby) {
			t.Errorf("%s\nprimary: %s\n  proxy: %s", server.Name, indent(want), indent(got))
		}
	}
}

func withoutCopyData(transcript string) string {
	var kept []string
	for _, l := range strings.Split(transcript, "\n") {
		if !strings.HasPrefix(l, "d ") {
			kept = append(kept, l)
		}
	}
	return strings.Join(kept, "\n")
}

func indent(s string) string { return strings.ReplaceAll(s, "\n", "\n         ") }
