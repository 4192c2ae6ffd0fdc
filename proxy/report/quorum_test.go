package report

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/admin"
)

// TestBehind: a position that is not there is not behind by the whole LSN.
func TestBehind(t *testing.T) {
	for _, c := range []struct {
		position, end lsn.LSN
		want          int64 // -1: none
	}{{lsn.Invalid, 0x5000000, -1}, {lsn.Invalid, lsn.Invalid, -1}, {1, 0x5000000, 0x4ffffff}, {7, 7, 0}, {8, 7, 0}} {
		got := int64(-1)
		if n := behind(c.position, c.end); n != nil {
			got = *n
		}
		if got != c.want {
			t.Errorf("%s at %s: %d, want %d", c.position, c.end, got, c.want)
		}
	}
}

// TestNotHeardYetComesFirst: a proxy that has just started says first whom it has not heard yet, by name, since commits may
// wait for no other reason. One that was heard, or that an operator has forgotten, is not waited for.
func TestNotHeardYetComesFirst(t *testing.T) {
	now := time.Unix(1e9, 0)
	peers := []admin.Peer{{Name: "b"}, {Name: "c", Heard: now, LastHeard: now}, {Name: "d"}, {Name: "e"}, {Name: "f", LastHeard: now}}
	for name, c := range map[string]struct {
		peers       []admin.Peer
		satisfiable bool
		up          time.Duration
		want        string
	}{
		"it has just started":      {peers, false, 3 * time.Second, "not heard yet, 3s after the start: b, d; commits may wait for no other reason"},
		"commits do not wait":      {peers, true, 3 * time.Second, ""},
		"it has been up for long":  {peers, false, time.Minute, admin.CommitsWait},
		"all are heard":            {peers[1:2], false, 3 * time.Second, admin.CommitsWait},
		"it is alone, on purpose":  {nil, false, 3 * time.Second, admin.CommitsWait},
		"who is away is forgotten": {peers[3:4], false, 3 * time.Second, admin.CommitsWait},
	} {
		s := cluster.Status{Rule: "ANY 2 (s1, s2)", Forgotten: []string{"e"}}
		s.Levels[1].Satisfiable, s.Levels[1].Why = c.satisfiable, "ANY 2 (s1, s2) has 1 candidate"
		w := quorumWarnings(s, c.peers, now, c.up)
		if (len(w) == 0) != (c.want == "") || len(w) > 0 && (!strings.HasPrefix(w[0], c.want) ||
			!strings.HasPrefix(w[len(w)-1], admin.CommitsWait)) {
			t.Errorf("%s: %q, want %q first", name, w, c.want)
		}
	}
}

// TestFencedStoreIsNotBehind: a fenced proxy's store reports no more, so how far its last report is behind says nothing. A
// standby at that proxy may still be served.
func TestFencedStoreIsNotBehind(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind     vote.Kind
		standing ledger.Standing
		behind   bool
	}{
		"its store":      {vote.Store, ledger.NodeFenced, false},
		"a standby":      {vote.Standby, ledger.NodeFenced, true},
		"one not fenced": {vote.Store, ledger.Counts, true},
	} {
		v := cluster.Voter{Positions: lsn.Progress{Write: 0x100, Flush: 0x100}, Since: [3]time.Time{1: time.Unix(1e9, 0)}}
		v.Kind, v.Standing, v.Node = c.kind, c.standing, "a"
		row := voterStatus(v, 0x200)
		if (row.FlushBehind != nil) != c.behind || row.FlushSince.IsZero() == c.behind || row.Flush != 0x100 {
			t.Errorf("%s: %+v", name, row)
		}
	}
}
