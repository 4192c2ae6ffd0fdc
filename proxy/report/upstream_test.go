package report

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/proxy/admin"
)

// TestLostWALElsewhere: while the primary is followed nobody is told to give up WAL that a copy of it lacks. While a
// primary is refused, and WAL comes from a member or not at all, that is the way out.
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
		got := strings.Join(ruleWarnings(&u, false, &admin.Status{}), "")
		if !strings.Contains(got, "has lost WAL") || strings.Contains(got, "accept-timeline") != c.accepts {
			t.Errorf("%s from %q: %q", c.state, c.member, got)
		}
	}
}

// TestLackIsABound: who is told that a server lacks acknowledged WAL is told how far that can be relied upon.
func TestLackIsABound(t *testing.T) {
	t.Parallel()
	for _, l := range []admin.Lack{
		{Timeline: 2, Of: 1, From: 16, To: 32}, {Timeline: 2, Of: 3, To: 32}, {Timeline: 2, Of: 1, To: walstore.PromisedAll},
	} {
		got := strings.Join(ruleWarnings(&admin.Upstream{Lack: &l}, true, &admin.Status{}), "")
		if !strings.Contains(got, "is not followed") || !strings.HasSuffix(got, "(after a crash all that was stored counts as acknowledged)") {
			t.Errorf("%+v: %q", l, got)
		}
	}
}

// TestSlotFollows: that the role may not log in for SQL is only said where that was tried.
func TestSlotFollows(t *testing.T) {
	t.Parallel()
	for state, want := range map[walreceiver.State]bool{walreceiver.Streaming: true, walreceiver.Disconnected: false,
		walreceiver.Connecting: false} {
		u := admin.Upstream{State: string(state), Slot: "s", SlotFollows: followsReported}
		if got := strings.Join(ruleWarnings(&u, true, &admin.Status{}), ""); strings.Contains(got, "let the role log in") != want {
			t.Errorf("%s: %q", state, got)
		}
	}
}

// TestAwayWarnings: no primary, and members that are not heard, are told of after seconds.
func TestAwayWarnings(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 12, 0, time.UTC)
	ago := func(n int) time.Time { return now.Add(-time.Duration(n) * time.Second) }
	for want, got := range map[string][]string{
		"no host of upstream.conninfo is a primary, since 12:00:00: docs/failover.md":       primaryWarnings(3, ago(12), now),
		"the server of upstream.conninfo does not answer, since 12:00:00: docs/failover.md": primaryWarnings(1, ago(12), now),
		"": append(primaryWarnings(3, time.Time{}, now), primaryWarnings(3, ago(2), now)...),
	} {
		if strings.Join(got, "|") != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	s := admin.Status{Now: now, StartedAt: ago(3600), Cluster: &admin.Cluster{Peers: []admin.Peer{
		{Name: "a", Heard: ago(1), LastHeard: ago(1)}, {Name: "b", LastHeard: ago(12), LastError: "refused"},
		{Name: "c", LastHeard: ago(2)}, {Name: "d"},
	}}}
	if got := strings.Join(memberWarnings(&s), "|"); got != "not heard: b, since 12:00:00: refused|not heard: d, since 11:00:12" {
		t.Errorf("%q", got)
	}
	s.StartedAt = ago(2)
	if got := memberWarnings(&s); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

// TestLossIsOneWarning: a stream that ended as the primary has lost WAL is told of by the loss, with what to do, and not
// by the bytes that differ. Whoever is refused for another system is told of beside it.
func TestLossIsOneWarning(t *testing.T) {
	t.Parallel()
	lost := &admin.Lack{Timeline: 1, Of: 1, From: 16, To: 32, Lost: true}
	for _, c := range []struct {
		lack    *admin.Lack
		foreign bool
		want    int
	}{{lost, false, 0}, {lost, true, 1}, {nil, false, 1}, {&admin.Lack{Timeline: 2, Of: 1, To: 32}, false, 1}} {
		u := admin.Upstream{Stopped: "WAL sent at 0/10 on timeline 1 differs from what is stored", Lack: c.lack, Foreign: c.foreign}
		if got := streamWarnings(&u); len(got) != c.want {
			t.Errorf("%+v, foreign %t: %q", c.lack, c.foreign, got)
		}
	}
}

// TestStrandedOfLostWAL: pg_rewind is advised where only the timelines part, not where WAL was given up, which it does not
// see.
func TestStrandedOfLostWAL(t *testing.T) {
	t.Parallel()
	for givenUp, want := range map[bool]string{false: "before pg_rewind, or made anew", true: "before it is made anew by pg_basebackup"} {
		w := strandedWarnings([]fanout.Stranded{{ApplicationName: "s1", Has: 120, Fork: 100, Next: 2, GivenUp: givenUp}})
		if len(w) != 1 || !strings.HasSuffix(w[0], want) {
			t.Errorf("given up %t: %q", givenUp, w)
		}
	}
}
