package sim

import (
	"fmt"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// The second exhaustive model: who streams from whom. Proxies p0 and p1, standby a behind p0 and b behind p1, one
// primary with a slot for each proxy. A proxy streams from the primary, from the other proxy or from nobody, and
// changes that whenever it likes: whatever cluster/puller decides is among it. There is power loss, a change of the
// rule, and a promotion by the recipe, after which the new upstream may have less than the old one.
//
//	primary ══► p0 ══► p1    p0 dies    primary ══► p1    is acknowledged, kept and possible:
//	slot p0, slot p1 ─► WAL that is kept                  covered by disks, no gap, and in the end everything
//
// Each state is checked. A report is held by disks, by the rules of both where they know each other's; on one
// connection none goes back. No acknowledged commit is missing on the branch of the primary. Whoever takes over finds
// all WAL from the end of its store on. From each state there is a way to one in which all is acknowledged.

// spot is a position and its timeline: on 1 or, with the bit, on 2.
type spot uint8

const second spot = 0x80

func (s spot) at() uint8 { return uint8(s &^ second) }

func (s spot) tli() lsn.TimelineID {
	if s&second != 0 {
		return 2
	}
	return 1
}

// scene is one state of this model.
type scene struct {
	end, low    uint8    // of the primary's WAL: it has (low, end]
	recv, store [2]spot  // of each proxy, received and flushed: of one timeline
	standby     [2]spot  // flushed
	via         [2]uint8 // nobody, primary, member
	told        [2]uint8 // on the present connection to the primary
	slot        [2]uint8 // of each proxy on the primary
	knowStandby [2]spot  // what p knows of the other's; 0 for nothing
	knowStore   [2]spot
	rule        [2]uint8 // 0: the old one, 1: the new one
	knowRule    [2]uint8 // what p knows of the other's: 0 nothing, 1 old, 2 new
	acked       uint8
	fork        uint8 // 0: no promotion yet
	promoted    uint8 // the standby, when fork is not 0
}

// Where a proxy streams from.
const (
	fromNobody uint8 = iota
	fromPrimary
	fromMember
)

// askKey is all that the covered positions of a proxy depend on.
type askKey struct {
	p                                          int
	recv, store, standby, knowStandby, knowSto spot
	rule, knowRule                             uint8
	fenced, silent, ownPrimary, otherPrimary   bool
}

type takeover struct {
	t      *testing.T
	levels uint8
	rules  [2]string
	ruleOf [2]quorum.Rule
	named  struct{ standbys, stores bool } // what no rule names need not be known
	broken string

	limits map[askKey]uint8
	number map[scene]int32
	scenes []scene
	from   []int32   // the one that each was reached from
	back   [][]int32 // all that lead to each
	now    int32     // whose steps are taken
	bad    string
}

func newTakeover(t *testing.T, before, after, broken string) *takeover {
	m := &takeover{
		t: t, levels: 2, rules: [2]string{before, after}, broken: broken,
		limits: map[askKey]uint8{}, number: map[scene]int32{},
	}
	for i, r := range m.rules {
		d, err := ledger.Parse(vote.RuleText{Names: r})
		if err != nil {
			t.Fatal(err)
		}
		m.ruleOf[i] = d
		for p := range 2 {
			m.named.stores = m.named.stores || quorum.Priority(d.Names, quorum.Voter{Name: proxyName(p), Store: true}) > 0
			m.named.standbys = m.named.standbys || quorum.Priority(d.Names, quorum.Voter{Name: standbyName(p)}) > 0
		}
	}
	return m
}

// explore visits everything that can happen; then everything must have a good end.
func (m *takeover) explore() int {
	ones := [2]spot{1, 1}
	m.from = append(m.from, 0)
	m.add(scene{end: 1, recv: ones, store: ones, standby: ones, slot: [2]uint8{1, 1}, acked: 1})
	for ; int(m.now) < len(m.scenes) && m.bad == ""; m.now++ {
		m.steps(m.scenes[m.now])
	}
	if m.bad == "" {
		m.goodEnds()
	}
	return len(m.scenes)
}

func (m *takeover) add(s scene) int32 {
	i := int32(len(m.scenes))
	m.number[s], m.scenes, m.back = i, append(m.scenes, s), append(m.back, nil)
	return i
}

func (m *takeover) visit(to scene) {
	i, known := m.number[to]
	if !known {
		m.from = append(m.from, m.now)
		i = m.add(to)
		m.look(i, to)
	}
	m.back[i] = append(m.back[i], m.now)
}

// look: a proxy that takes over finds all WAL from the end of its store on, and has none that its upstream lacks.
func (m *takeover) look(i int32, s scene) {
	for p := range 2 {
		if s.recv[p]&second == s.branch() && s.recv[p].at() > s.end {
			m.violated(i, "p%d has %d, the primary of this timeline only %d", p, s.recv[p].at(), s.end)
		}
		if begin := s.follow(s.store[p], s.branch()).at(); begin < s.low && m.broken != "one slot, no members" {
			m.violated(i, "gap: the store of p%d ends at %d, the primary has WAL from %d on", p, begin, s.low)
		}
	}
}

// violated ends the search with the way to the state.
func (m *takeover) violated(i int32, format string, args ...any) {
	if m.bad != "" {
		return
	}
	m.bad = fmt.Sprintf(format, args...)
	for ; i != 0; i = m.from[i] {
		m.bad += fmt.Sprintf("\n%+v", m.scenes[i])
	}
}

// goodEnds looks, backward from all states where everything is acknowledged, for one without a way there.
func (m *takeover) goodEnds() {
	good := make([]bool, len(m.scenes))
	var queue []int32
	add := func(i int32) {
		if !good[i] {
			good[i] = true
			queue = append(queue, i)
		}
	}
	for i, s := range m.scenes {
		if s.acked == m.levels {
			add(int32(i))
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		for _, i := range m.back[queue[0]] {
			add(i)
		}
	}
	for i := range good {
		if !good[i] {
			m.violated(int32(i), "stuck: nothing that may happen now lets every commit through")
			return
		}
	}
}

// steps visits all that can follow s.
func (m *takeover) steps(s scene) {
	if next := s; s.end < m.levels {
		next.end++
		m.visit(next)
	}
	keep := min(s.slot[0], s.slot[1])
	if strings.HasPrefix(m.broken, "one slot") {
		keep = max(s.slot[0], s.slot[1])
	}
	if next := s; s.low < keep && !m.changes() {
		next.low = keep
		m.visit(next)
	}
	for p := range 2 {
		m.connect(s, p)
		m.flow(s, p)
		m.know(s, p)
		if s.via[p] == fromPrimary {
			m.report(s, p)
		}
		if next := s; s.rule[p] == 0 && m.changes() {
			next.rule[p] = 1
			m.visit(next)
		}
		m.promote(s, p)
	}
}

// changes: the rule does. Then nobody is promoted and nothing is removed, which TestModel has or which has
// nothing to do with it: the states of all at once are too many.
func (m *takeover) changes() bool { return m.rules[0] != m.rules[1] }

// branch returns that of the primary.
func (s scene) branch() spot {
	if s.fork > 0 {
		return second
	}
	return 0
}

// follow puts a place on the timeline of another one: nothing above the fork is carried over (ruling R12).
func (s scene) follow(at, to spot) spot {
	if to.tli() == at.tli() {
		return at
	}
	return spot(min(at.at(), s.fork)) | second
}

// TestTakeover visits every state; the figures are for the reader.
func TestTakeover(t *testing.T) {
	for _, c := range []struct{ before, after, broken, found string }{
		{"ANY 1 (a, b)", "", "", ""},
		{"ANY 2 (p0, p1)", "", "", ""},
		{"FIRST 1 (a, b)", "", "", ""},
		{"ANY 1 (a, b)", "ANY 2 (a, b)", "", ""},
		{"ANY 1 (a, b)", "ANY 2 (a, b)", "own rule only", "under \"ANY 2"},
		{"ANY 1 (a, b)", "", "one slot", "gap"},
		{"ANY 1 (a, b)", "", "one slot, no members", "stuck"},
		{"ANY 1 (a, b)", "", "carried over", "and has"},
		{"ANY 1 (a, b)", "", "above the fork", "the primary of this timeline only"},
		{"ANY 1 (a, b)", "", "any timeline", "held by"},
		{"ANY 2 (p0, p1)", "", "before fsync", "held by"},
		{"FIRST 1 (a, b)", "", "goes back", "on one connection"},
		{"ANY 1 (a, b)", "", "unfed", "begins at"},
	} {
		t.Run(strings.TrimSpace(c.before+" to "+c.after+" "+c.broken), func(t *testing.T) {
			t.Parallel()
			if c.after == "" {
				c.after = c.before
			}
			m := newTakeover(t, c.before, c.after, c.broken)
			n := m.explore()
			t.Logf("%d states, %d questions to the ledger", n, len(m.limits))
			if c.broken == "" && m.bad != "" || !strings.Contains(m.bad, c.found) || c.broken != "" && m.bad == "" {
				t.Errorf("violation: %q, want %q", m.bad, c.found)
			}
		})
	}
}
