package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/compare"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

const (
	system  = lsn.SystemID(7)
	timeout = time.Minute
)

func anyRule(names string) vote.Rule {
	return vote.Rule{Generation: 1, RuleText: vote.RuleText{Names: names}, Established: true}
}

// world is a few ledgers that hear each other at once, unless cut.
type world struct {
	t     testing.TB
	now   time.Time
	nodes map[string]*Ledger
	names []string
	cut   map[[2]string]bool
	next  uint64
	keys  map[string]uint64 // "node/name" to incarnation
	sent  lsn.LSN
	other map[string]uint64 // whose bytes are others, which only matters to those that speak version 2
}

func newWorld(t testing.TB, rule string, nodes ...string) *world {
	t.Helper()
	w := &world{
		t: t, now: time.Unix(1e9, 0), nodes: map[string]*Ledger{}, names: nodes, cut: map[[2]string]bool{},
		keys: map[string]uint64{}, sent: 1000, other: map[string]uint64{},
	}
	for _, n := range nodes {
		w.start(n, anyRule(rule))
	}
	w.gossip()
	return w
}

func (w *world) start(node string, r vote.Rule) {
	w.t.Helper()
	w.next++
	l, err := New(Options{Node: node, Boot: w.next, Members: w.names, Timeout: timeout, Rule: r})
	if err != nil {
		w.t.Fatal(err)
	}
	l.SetHistory(1, never)
	w.nodes[node] = l
}

// never is the fingerprint of a timeline that has none, as the first one.
var never = vote.Fingerprint{Never: true}

// gossip lets everybody hear everybody's State and Reports.
func (w *world) gossip() {
	w.t.Helper()
	for _, from := range w.names {
		for _, to := range w.names {
			if from == to || w.cut[[2]string{from, to}] {
				continue
			}
			if err := w.nodes[to].Merge(w.now, w.nodes[from].State()); err != nil {
				w.t.Fatal(err)
			}
			for _, r := range w.nodes[from].Reports() {
				w.nodes[to].Report(w.now, r)
			}
			w.nodes[to].Hashes(from, 1, nil)
		}
	}
	for _, n := range w.names {
		w.nodes[n].Compare(w.own(n))
	}
}

// sum is the hash of a node's WAL.
func (w *world) sum(node string, at lsn.LSN) uint64 { return uint64(at) ^ w.other[node] }

// local is a node's store as it is compared.
func (w *world) own(node string) compare.Local {
	return compare.Local{
		Timeline: 1, Oldest: 1, Received: w.sent, Complete: w.sent, SegSize: lsn.MinSegSize,
		HashAt: func(_ lsn.TimelineID, at lsn.LSN) (uint64, bool) { return w.sum(node, at), at <= w.sent },
	}
}

func (w *world) attach(node, name string) {
	w.t.Helper()
	w.next++
	kind := vote.Standby
	if node == name {
		kind = vote.Store
	}
	w.keys[node+"/"+name] = w.next
	if err := w.nodes[node].Attach(w.now, w.next, kind, name, system); err != nil {
		w.t.Fatal(err)
	}
	w.gossip()
}

func (w *world) end(node, name string) {
	w.nodes[node].End(w.keys[node+"/"+name])
	w.gossip()
}

// setRule changes the rule of a node that has reported up to from.
func (w *world) setRule(node, names string, from lsn.LSN) {
	w.t.Helper()
	l := w.nodes[node]
	r, err := l.NextRule(vote.RuleText{Names: names}, 1, from, false)
	if err == nil {
		err = l.SetRule(r)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.gossip()
}

// ack reports one position for all columns.
func (w *world) ack(node, name string, at lsn.LSN) {
	w.nodes[node].Ack(w.now, Ack{At: w.now,
		Incarnation: w.keys[node+"/"+name], Timeline: 1, Received: w.sent, Sent: w.sent,
		Progress: lsn.Progress{Write: at, Flush: at, Apply: at}, Streaming: true,
		Bytes: lsn.Print{Timeline: 1, LSN: w.sent, Sum: w.sum(node, w.sent)},
	})
	w.gossip()
}

func (w *world) want(node, limits string) {
	w.t.Helper()
	l := w.nodes[node].Evaluated(w.now, system, 1)
	got := fmt.Sprintf("%d %d %d", uint64(l.Write), uint64(l.Flush), uint64(l.Apply))
	if l.Write == Max {
		got = "everything"
	}
	if got != limits {
		w.t.Errorf("limits at %s are %s, want %s: %+v", node, got, limits, l)
	}
	if c := w.nodes[node].Counters(); c.Violations > 0 {
		w.t.Errorf("%s: %+v", node, c)
	}
}

func TestQuorumOverTwoNodes(t *testing.T) {
	w := newWorld(t, "ANY 2 (s1, s2, s3)", "a", "b")
	w.want("a", "0 0 0")
	w.attach("a", "S1")
	w.attach("b", "s2")
	w.ack("a", "S1", 50)
	w.want("a", "0 0 0")
	w.ack("b", "s2", 40)
	w.want("a", "40 40 40")
	w.want("b", "40 40 40")
	w.attach("b", "s3")
	w.ack("b", "s3", 60)
	w.want("a", "50 50 50")
	w.end("b", "s3")
	w.want("a", "40 40 40")
}

// TestOneStandbyIsOneVoter: a session and its successor on another node count once, with the lower
// position, until both have received WAL that was sent after they knew of each other.
func TestOneStandbyIsOneVoter(t *testing.T) {
	w := newWorld(t, "ANY 2 (s)", "a", "b")
	w.attach("a", "s")
	w.ack("a", "s", 50)
	w.attach("b", "s")
	w.ack("b", "s", 70)
	w.want("a", "0 0 0")
	w.sent = 2000
	w.ack("b", "s", 1100)
	w.want("a", "0 0 0") // the other one may be dead
	w.ack("a", "s", 51)  // it met the younger one at 2000, or said so before
	w.sent = 3000
	w.ack("a", "s", 1500)
	w.want("a", "0 0 0")
	w.ack("a", "s", 2001)
	w.want("a", "1100 1100 1100")
}

func TestAloneAfterStart(t *testing.T) {
	w := newWorld(t, "ANY 1 (s)", "a", "b", "c")
	w.start("a", anyRule("ANY 1 (s)"))
	w.attach("c", "s")
	w.ack("c", "s", 10)
	w.start("a", anyRule("ANY 1 (s)"))
	w.want("a", "0 0 0")
	w.gossip()
	w.want("a", "10 10 10")
}

// A proxy that has nothing yet, and no rule, holds nothing back: its store's timeline is still 0.
func TestEmptyStoreWithoutRule(t *testing.T) {
	l, err := New(Options{Node: "a", Boot: 1})
	if err != nil {
		t.Fatal(err)
	}
	if lim := l.Evaluated(time.Unix(1e9, 0), 0, 0); lim.Write != Max || lim.Flush != Max || lim.Apply != 0 {
		t.Errorf("limits %+v", lim)
	}
	l.Fence(1)
	for _, timeline := range []lsn.TimelineID{0, 1} {
		if lim := l.Evaluated(time.Unix(1e9, 0), system, timeline); lim.Flush != 0 {
			t.Errorf("fenced, on timeline %d: %+v", timeline, lim)
		}
	}
}
