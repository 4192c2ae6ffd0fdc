package report

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/fanout"
	"github.com/replproxy/replproxy/fanout/realslot"
	"github.com/replproxy/replproxy/fanout/slot"
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walsender"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/tcpopt"
	"github.com/replproxy/replproxy/proxy"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

func TestStandbyStatus(t *testing.T) {
	const received = 0x5000000
	for name, c := range map[string]struct {
		sent, flush lsn.LSN
		want        int64
	}{
		"behind":                    {0x5000000, 0x4000000, 1 << 24},
		"caught up":                 {0x5000000, 0x5000000, 0},
		"ahead of us after a crash": {0x5000000, 0x6000000, 0},
		"reports no flush":          {0x4800000, 0, 1 << 23},
		"nothing yet":               {0, 0, 0},
	} {
		s := standbyStatus(fanout.Standby{Sent: c.sent, Progress: lsn.Progress{Flush: c.flush}}, received)
		if s.LagBytes != c.want {
			t.Errorf("%s: %d bytes behind, want %d", name, s.LagBytes, c.want)
		}
	}
	s := standbyStatus(fanout.Standby{
		ClientAddr: "10.0.0.5:40000", State: walsender.Catchup, WriteLag: 1500 * time.Millisecond, FlushLag: -1, ApplyLag: -1,
	}, received)
	if s.ClientAddr != "10.0.0.5" || s.State != "catchup" || *s.WriteLag != 1.5 || s.FlushLag != nil {
		t.Errorf("got %+v", s)
	}
	for addr, want := range map[string]string{"[local]": "", "[::1]:5": "::1", "10.0.0.5": "10.0.0.5"} {
		if got := tcpopt.Host(addr); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
}

func TestSlotStatus(t *testing.T) {
	held := slotStatus(fanout.SlotRow{
		Info:         slot.Info{Name: "a", ActivePID: 7, Restart: 0x1000000},
		Availability: slot.Availability{Status: slot.Reserved, Safe: 5, SafeKnown: true},
	}, 0x3000000)
	if !held.Active || held.HeldBytes != 2<<24 || held.Status != "reserved" || *held.Safe != 5 {
		t.Errorf("got %+v", held)
	}
	row := fanout.SlotRow{
		Info: slot.Info{Name: "b", Lost: slot.IdleTimeout, Restart: 1}, Availability: slot.Availability{Status: slot.Lost},
	}
	if lost := slotStatus(row, 0x3000000); lost.Status != "lost" || lost.HeldBytes != 0 || lost.Reason != "idle_timeout" {
		t.Errorf("got %+v", lost)
	}
	if w := slotWarnings([]SharedSlot{{SlotRow: row}, {}}); len(w) != 1 || !strings.HasPrefix(w[0], "slot b is lost (idle_timeout)") {
		t.Errorf("got %q", w)
	}
	if empty := slotStatus(fanout.SlotRow{}, 0x3000000); empty.Status != "" || empty.Active {
		t.Errorf("got %+v", empty)
	}
}

// TestSharers: in a cluster it is said who keeps the WAL of a slot, this proxy too.
func TestSharers(t *testing.T) {
	owned := fanout.SlotRow{Info: slot.Info{Name: "a", Owner: "p2"}}
	for name, c := range map[string]struct {
		s                   SharedSlot
		keptBy, unconfirmed []string
	}{
		"alone":            {SharedSlot{Kept: true}, nil, nil},
		"a temporary slot": {SharedSlot{Kept: true, KeptBy: []string{"p1"}, Unconfirmed: []string{"p1"}}, nil, nil},
		"all keep it":      {SharedSlot{SlotRow: owned, Kept: true, KeptBy: []string{"p1", "p3"}}, []string{"p1", "p2", "p3"}, nil},
		"only the others":  {SharedSlot{SlotRow: owned, KeptBy: []string{"p1"}, Unconfirmed: []string{"p3"}}, []string{"p1"}, []string{"p3"}},
	} {
		if keptBy, unconfirmed := sharers(c.s, "p2"); !slices.Equal(keptBy, c.keptBy) || !slices.Equal(unconfirmed, c.unconfirmed) {
			t.Errorf("%s: kept by %q, unconfirmed %q", name, keptBy, unconfirmed)
		}
	}
}

// TestUncompared: a primary that is followed unseen is warned of.
func TestUncompared(t *testing.T) {
	w := ownSlotWarnings(walreceiver.Status{Uncompared: 0x5000000}, realslot.ProxySlotStatus{})
	if len(w) != 1 || !strings.Contains(w[0], "the WAL before 0/5000000") {
		t.Errorf("got %q", w)
	}
	if w := ownSlotWarnings(walreceiver.Status{}, realslot.ProxySlotStatus{}); len(w) > 0 {
		t.Errorf("got %q", w)
	}
}

// TestStatusOfNothing: before anything is known the document has lists, no positions, whom it has not heard yet and one
// reason to wait. What was advised is not changed.
func TestStatusOfNothing(t *testing.T) {
	now := time.Unix(1e9, 0)
	advice := make([]string, 1, 9)
	advice[0] = "a trap"
	x := Snapshot{
		Config: &config.Config{Name: "a", DataDir: "/d"}, Started: now, Now: now, Advice: advice,
		Votes: cluster.Status{Awaited: []string{"b"}}, Cluster: &Cluster{Links: link.Status{Peers: []link.PeerStatus{{Name: "b"}}}},
		Counts: proxy.Counts{RefusedBy: make([]int64, len(proxy.Reasons()))},
	}
	s := Status(&x)
	if s.Standbys == nil || s.Slots == nil || s.Idle == nil || s.SSL == nil || len(s.Cluster.Peers) != 1 {
		t.Errorf("%+v", s)
	}
	if s.Store.System != "" || s.Store.VotedBytes != 0 || s.Auth.Method != "relay" || s.Upstream.Gate != "" {
		t.Errorf("%+v", s)
	}
	if len(s.Warnings) != 3 || s.Warnings[2] != "a trap" || !strings.HasPrefix(s.Warnings[1], "commits on the primary") ||
		!strings.HasPrefix(s.Warnings[0], "not heard yet, 0s after the start: b;") {
		t.Errorf("%q", s.Warnings)
	}
	x.Now = now.Add(time.Hour)
	if s := Status(&x); len(s.Warnings) != 4 { // b is not heard, and is waited for
		t.Errorf("%q", s.Warnings)
	}
	if all := advice[:2]; all[1] != "" {
		t.Errorf("what was advised has become %q", all)
	}
}

// TestRefusalReasons: what the server counts has its place in /status and the metrics.
func TestRefusalReasons(t *testing.T) {
	if got, want := admin.RefusalReasons(), proxy.Reasons(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestIdleStatus: a slot that another member keeps on the primary is its own. While that member is not heard nobody moves
// it, and it will be used again.
func TestIdleStatus(t *testing.T) {
	idle := []realslot.Idle{{Name: "replproxy_proxy_b"}, {Name: "replproxy_proxy_c"}, {Name: "s1"}, {Name: "s2"}}
	rows := []SharedSlot{{SlotRow: fanout.SlotRow{Info: slot.Info{Name: "s2", Real: slot.Adopted}}}}
	c := &admin.Cluster{Peers: []admin.Peer{{Name: "proxy_b", Heard: time.Unix(1e9, 0)}, {Name: "proxy_c"}}}
	got := idleStatus(idle, rows, c)
	for i, want := range []admin.Idle{{Member: "proxy_b"}, {Absent: "proxy_c"}, {}, {Real: "adopted"}} {
		if got[i].Member != want.Member || got[i].Absent != want.Absent || got[i].Real != want.Real {
			t.Errorf("%s: %+v", got[i].Name, got[i])
		}
	}
	if got := idleStatus(idle[:1], nil, nil); got[0].Member != "" {
		t.Errorf("without a cluster: %+v", got)
	}
}
