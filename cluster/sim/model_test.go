package sim

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// The exhaustive model has two proxies p0 and p1 with a store each, standby a behind p0 and b behind p1. There is one
// change of the rule, one failover by the recipe, and crashes of the proxies. Every order of everything is visited,
// and every report asks the real ledger. Positions are 1 to levels.
//
//	insert, flush, ack ─► learn (late or never) ─► report ─► acknowledged ≤ fork, always
//	change the rule ─► learn                        fence, stop, promote

// point is one state of the model. It is comparable: the visited set is a map of points.
type point struct {
	end         uint8    // of the primary's WAL
	store       [2]uint8 // flushed by each proxy
	standby     [2]uint8 // flushed by each standby
	knowStandby [2]uint8 // what p knows of the other's standby; 0 for nothing
	knowStore   [2]uint8
	rule        [2]uint8 // 0: the old one, 1: the new one
	from        [2]uint8
	established [2]bool
	knowRule    [2]uint8 // what p knows of the other's rule: 0 nothing, 1 old, 2 new
	fenced      [2]bool
	knowFenced  [2]bool
	stopped     [2]bool // standbys, by the operator
	acked       uint8
	fork        uint8 // 0: no promotion yet
}

// limitKey is all that the covered positions of a proxy depend on.
type limitKey struct {
	p                        int
	store, standby, kStandby uint8
	kStore, rule, kRule      uint8
	fenced, kFenced, silent  bool
}

type model struct {
	t                *testing.T
	levels           uint8
	rules            [2]string
	broken           string
	limits           map[limitKey]uint8
	ruleOf           [2]quorum.Rule
	stores, standbys bool            // a rule names such voters: what is not named need not be known
	seen             map[point]point // state to the one that it was reached from
	queue            []point
	bad              string
}

func newModel(t *testing.T, levels uint8, before, after, broken string) *model {
	m := &model{
		t: t, levels: levels, rules: [2]string{before, after}, broken: broken,
		limits: map[limitKey]uint8{}, seen: map[point]point{},
	}
	for i, r := range m.rules {
		d, err := ledger.Parse(vote.RuleText{Names: r})
		if err != nil {
			t.Fatal(err)
		}
		m.ruleOf[i] = d
		for p := range 2 {
			m.stores = m.stores || quorum.Priority(d.Names, quorum.Voter{Name: proxyName(p), Store: true}) > 0
			m.standbys = m.standbys || quorum.Priority(d.Names, quorum.Voter{Name: standbyName(p)}) > 0
		}
	}
	return m
}

// explore visits everything that can happen, breadth first, and returns how many states there are.
func (m *model) explore() int {
	two := [2]uint8{1, 1}
	first := point{
		end: 1, store: two, standby: two, from: two, established: [2]bool{true, true}, acked: 1,
	}
	m.seen[first] = first
	for m.queue = []point{first}; len(m.queue) > 0 && m.bad == ""; m.queue = m.queue[1:] {
		m.steps(m.queue[0])
	}
	return len(m.seen)
}

func (m *model) visit(from, to point) {
	if _, known := m.seen[to]; known || m.bad != "" {
		return
	}
	m.seen[to] = from
	m.queue = append(m.queue, to)
	if to.fork > 0 && to.acked > to.fork {
		m.bad = fmt.Sprintf("acknowledged up to %d, the new timeline begins at %d", to.acked, to.fork)
		for s := to; m.seen[s] != s; s = m.seen[s] {
			m.bad += fmt.Sprintf("\n%+v", s)
		}
	}
}

// steps visits all that can follow s.
func (m *model) steps(s point) {
	if s.end < m.levels {
		next := s
		next.end++
		m.visit(s, next)
	}
	for p := range 2 {
		m.wal(s, p)
		m.knowledge(s, p)
		m.report(s, p)
		m.operate(s, p)
	}
	m.promote(s)
}

// wal: the store and the standby of p flush one more, whatever the other has.
func (m *model) wal(s point, p int) {
	if next := s; s.store[p] < s.end {
		next.store[p]++
		m.visit(s, next)
	}
	if next := s; s.standby[p] < s.end && !s.stopped[p] {
		next.standby[p]++
		m.visit(s, next)
	}
}

// knowledge: p hears one of the other's messages, or crashes and forgets.
func (m *model) knowledge(s point, p int) {
	o := 1 - p
	next := s
	next.knowRule[p], next.knowFenced[p] = s.rule[o]+1, s.fenced[o]
	m.visit(s, next)
	if s.knowRule[p] > 0 && !s.fenced[o] {
		if next = s; m.standbys {
			next.knowStandby[p] = s.standby[o]
			m.visit(s, next)
		}
		if next = s; m.stores {
			next.knowStore[p] = s.store[o]
			m.visit(s, next)
		}
	}
	next = s
	next.knowRule[p], next.knowFenced[p], next.knowStandby[p], next.knowStore[p] = 0, false, 0, 0
	m.visit(s, next)
}

// report: p tells the primary what the ledger allows, while the other is heard or is silent.
func (m *model) report(s point, p int) {
	for _, silent := range []bool{false, true} {
		k := limitKey{
			p, s.store[p], s.standby[p], s.knowStandby[p], s.knowStore[p], s.rule[p], s.knowRule[p],
			s.fenced[p], s.knowFenced[p], silent,
		}
		flush, known := m.limits[k]
		if !known {
			flush = m.limit(k)
			m.limits[k] = flush
		}
		next := s
		if !s.established[p] && flush >= s.from[p] {
			next.established[p] = true
		}
		report := min(flush, s.store[p])
		if report > 1 {
			m.covered(s, p, report)
		}
		next.acked = max(s.acked, report)
		m.visit(s, next)
	}
}

// covered is G1 by counting disks.
func (m *model) covered(s point, p int, report uint8) {
	d, n := m.ruleOf[s.rule[p]], 0
	for i := range 2 {
		if s.standby[i] >= report && quorum.Priority(d.Names, quorum.Voter{Name: standbyName(i)}) > 0 {
			n++
		}
		if s.store[i] >= report && quorum.Priority(d.Names, quorum.Voter{Name: proxyName(i), Store: true}) > 0 {
			n++
		}
	}
	if n < int(d.Names.Count) && m.bad == "" {
		m.bad = fmt.Sprintf("p%d reports %d under %q, held by %d: %+v", p, report, m.rules[s.rule[p]], n, s)
	}
}

func standbyName(i int) string { return string(rune('a' + i)) }
func proxyName(i int) string   { return fmt.Sprintf("p%d", i) }

// limit asks a real ledger that knows what k says.
func (m *model) limit(k limitKey) uint8 {
	now := time.Unix(1e9, 0)
	must := func(err error) {
		if err != nil {
			m.t.Fatal(err)
		}
	}
	rule := func(i uint8) vote.Rule {
		return vote.Rule{RuleText: vote.RuleText{Names: m.rules[i]}, Generation: uint64(i) + 1}
	}
	tli := func(fenced bool) lsn.TimelineID {
		if fenced {
			return 1
		}
		return 0
	}
	own, other := proxyName(k.p), proxyName(1-k.p)
	l, err := ledger.New(ledger.Options{
		Node: own, Boot: 1, Members: []string{own, other}, Timeout: time.Minute, Rule: rule(k.rule), Fenced: tli(k.fenced),
	})
	must(err)
	l.SetHistory(1, vote.Fingerprint{Never: true}) // there is one branch only
	position := func(n uint8) lsn.LSN { return lsn.LSN(n) }
	for i, v := range []struct {
		kind vote.Kind
		name string
		at   uint8
	}{{vote.Standby, standbyName(k.p), k.standby}, {vote.Store, own, k.store}} {
		id, at := uint64(i+1), position(v.at)
		must(l.Attach(now, id, v.kind, v.name, system))
		l.Ack(now, ledger.Ack{
			Incarnation: id, Timeline: 1, Received: 100, Sent: 100, Progress: lsn.Progress{Write: at, Flush: at, Apply: at}, Streaming: true,
		})
	}
	if k.kRule > 0 {
		key := func(i uint64) vote.Key { return vote.Key{Node: other, Incarnation: i} }
		must(l.Merge(now, vote.State{
			Node: other, Boot: 1, Seq: 1, HistoryHash: 1, FirstWAL: vote.Fingerprint{Never: true}, Fenced: tli(k.kFenced), Rule: rule(k.kRule - 1),
			Sessions: []vote.Session{
				{Key: key(1), Kind: vote.Standby, Name: standbyName(1 - k.p), System: system},
				{Key: key(2), Kind: vote.Store, Name: other, System: system},
			},
		}))
		for i, n := range []uint8{k.kStandby, k.kStore} {
			if at := position(n); n > 0 {
				l.Report(now, vote.Report{
					Key: key(uint64(i + 1)), Seq: 1, Timeline: 1, Progress: lsn.Progress{Write: at, Flush: at, Apply: at}, Streaming: true,
				})
			}
		}
	}
	if k.silent {
		now = now.Add(time.Hour)
	}
	return uint8(min(flushed(l, now, system, 1), lsn.LSN(m.levels)))
}

// operate: a change of the rule while nothing is fenced; a fence; a standby is stopped.
func (m *model) operate(s point, p int) {
	begun := s.fenced[0] || s.fenced[1] || s.stopped[0] || s.stopped[1]
	if next := s; s.rule[p] == 0 && !begun {
		next.rule[p], next.from[p], next.established[p] = 1, s.store[p], false
		if m.broken == "begins too low" {
			next.from[p] = 1
		}
		m.visit(s, next)
	}
	if next := s; !s.fenced[p] && s.fork == 0 {
		next.fenced[p] = true
		m.visit(s, next)
	}
	if next := s; !s.stopped[p] && s.fork == 0 {
		next.stopped[p] = true
		m.visit(s, next)
	}
}

// promote: any standby, stopped or not, fed as far as the question says.
func (m *model) promote(s point) {
	if s.fork > 0 {
		return
	}
	for c := range 2 {
		proof := m.question(s, c).Prove()
		if len(proof.Gaps) > 0 {
			continue
		}
		next := s
		if next.fork = max(uint8(proof.Target), s.standby[c]); m.broken == "unfed" {
			next.fork = s.standby[c]
		}
		if next.stopped[c] = true; m.broken == "unfenced" {
			next.fenced = [2]bool{}
		}
		m.visit(s, next)
	}
}

func (m *model) question(s point, candidate int) tail.Question {
	q := tail.Question{Begin: 1}
	for i := range 2 {
		q.Standbys = append(q.Standbys, tail.Holder{
			Name: standbyName(i), ID: uint64(i), Final: s.stopped[i] || i == candidate, End: lsn.LSN(s.standby[i]),
		})
		p := tail.Proxy{Holder: tail.Holder{
			Name: proxyName(i), ID: uint64(i + 2), Store: true, Final: s.fenced[i], End: lsn.LSN(s.store[i]),
		}}
		p.Rules = []quorum.Rule{m.ruleOf[s.rule[i]]}
		if !s.established[i] && m.broken != "unestablished" {
			p.Rules = append(p.Rules, m.ruleOf[0])
		}
		q.Proxies = append(q.Proxies, p)
	}
	return q
}

// TestModel visits every state of several changes of the rule; the figures are for the reader.
func TestModel(t *testing.T) {
	for _, c := range []struct {
		levels        uint8
		before, after string
		broken        string
	}{
		{2, "ANY 1 (a, b)", "ANY 2 (a, b)", ""},
		{2, "ANY 1 (p0, p1)", "ANY 2 (p0, p1)", ""},
		{2, "ANY 2 (a, b)", "ANY 1 (a, b)", ""},
		{2, "FIRST 1 (a, b)", "FIRST 2 (b, a)", ""},
		{2, "ANY 2 (a, b)", "", ""}, // drop-rule
		{2, "", "ANY 1 (a, b)", ""},
		{2, "ANY 1 (a, b)", "ANY 2 (a, b)", "unestablished"},
		{2, "ANY 1 (a, b)", "ANY 2 (a, b)", "begins too low"},
		{2, "ANY 1 (a, b)", "ANY 2 (a, b)", "unfed"},
		{2, "ANY 2 (a, b)", "ANY 1 (a, b)", "unfenced"},
		{2, "ANY 2 (a, p0, p1)", "ANY 2 (b, p0, p1)", "soak"},
		{2, "ANY 1 (p0, p1)", "ANY 2 (*)", "soak"},
		{3, "ANY 1 (a, b)", "ANY 2 (a, b)", "soak"},
	} {
		if c.broken == "soak" {
			if os.Getenv("REPLPROXY_SIM_SEEDS") == "" {
				continue
			}
			c.broken = ""
		}
		t.Run(strings.TrimSpace(c.before+" to "+c.after+" "+c.broken), func(t *testing.T) {
			t.Parallel()
			m := newModel(t, c.levels, c.before, c.after, c.broken)
			n := m.explore()
			t.Logf("%d states, %d questions to the ledger", n, len(m.limits))
			if (c.broken == "") != (m.bad == "") {
				t.Errorf("violation: %q", m.bad)
			}
		})
	}
}

// flushed returns the flush position that l covers for a primary of system on timeline t.
func flushed(l *ledger.Ledger, now time.Time, system lsn.SystemID, t lsn.TimelineID) lsn.LSN {
	var lim ledger.Evaluation
	l.Evaluate(&lim, now, system, t)
	return lim.Flush
}
