package sim

import (
	"time"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// connect: p streams from the primary, from the other, or loses its stream, its memory, or its power.
func (m *takeover) connect(s scene, p int) {
	o := 1 - p
	lost := s
	lost.via[p], lost.told[p] = fromNobody, 0
	m.visit(lost)
	crash := lost
	crash.recv[p] = s.store[p]
	crash.knowRule[p], crash.knowStandby[p], crash.knowStore[p] = 0, 0, 0
	m.visit(crash)

	next := lost
	if m.broken != "above the fork" || s.branch() == 0 {
		next.recv[p], next.store[p] = s.follow(s.recv[p], s.branch()), s.follow(s.store[p], s.branch())
	} else {
		next.recv[p], next.store[p] = s.recv[p]|second, s.store[p]|second
	}
	if next.via[p] = fromPrimary; s.low <= next.store[p].at() { // else it has a gap: nothing is streamed
		if m.broken == "carried over" {
			next.told[p] = max(s.told[0], s.told[1], s.told[p])
		}
		m.visit(next)
	}
	next = lost
	if s.recv[o].tli() >= s.recv[p].tli() && m.broken != "one slot, no members" {
		next.recv[p], next.store[p] = s.follow(s.recv[p], s.recv[o]), s.follow(s.store[p], s.recv[o])
		next.via[p] = fromMember
		m.visit(next)
	}
}

// flow: WAL goes one step further, to the proxy, to its disk, to its standby; its slot follows its disk.
func (m *takeover) flow(s scene, p int) {
	o := 1 - p
	primary := s.via[p] == fromPrimary && s.recv[p]&second == s.branch() && s.recv[p].at() < s.end
	member := s.via[p] == fromMember && s.recv[p].tli() == s.recv[o].tli() && s.recv[p] < s.recv[o]
	if next := s; primary || member {
		next.recv[p]++
		m.visit(next)
	}
	if next := s; s.store[p] < s.recv[p] {
		next.store[p]++
		m.visit(next)
	}
	if next := s; !s.isPrimary(p) {
		switch next.standby[p] = s.follow(s.standby[p], s.recv[p]); { // beyond the fork it is rewound
		case next.standby[p] != s.standby[p]:
			m.visit(next)
		case s.standby[p].tli() == s.recv[p].tli() && s.standby[p] < s.recv[p]:
			next.standby[p]++
			m.visit(next)
		}
	}
	if next := s; s.store[p]&second == s.branch() && s.slot[p] < s.store[p].at() && !m.changes() {
		next.slot[p] = s.store[p].at()
		m.visit(next)
	}
}

func (s scene) isPrimary(standby int) bool { return s.fork > 0 && int(s.promoted) == standby }

// know: p hears one of the other's messages.
func (m *takeover) know(s scene, p int) {
	o := 1 - p
	next := s
	next.knowRule[p] = s.rule[o] + 1
	if s.isPrimary(o) {
		next.knowStandby[p] = 0 // its session has ended
	}
	m.visit(next)
	if s.knowRule[p] == 0 {
		return
	}
	if next := s; m.named.standbys && !s.isPrimary(o) {
		next.knowStandby[p] = s.standby[o]
		if s.standby[o].tli() == s.recv[o].tli() {
			next.knowStandby[p] = min(s.standby[o], s.recv[o])
		}
		m.visit(next)
	}
	if next := s; m.named.stores {
		if next.knowStore[p] = s.store[o]; m.broken == "before fsync" {
			next.knowStore[p] = s.recv[o]
		}
		m.visit(next)
	}
}

// report: p tells the primary what the ledger allows, while the other is heard or is silent.
func (m *takeover) report(s scene, p int) {
	if s.recv[p]&second != s.branch() {
		return
	}
	for _, silent := range []bool{false, true} {
		k := askKey{
			p, s.recv[p], s.store[p], s.standby[p], s.knowStandby[p], s.knowStore[p], s.rule[p], s.knowRule[p],
			s.fork > 0, silent, s.isPrimary(p), s.isPrimary(1 - p),
		}
		limit, known := m.limits[k]
		if !known {
			limit = m.ask(k)
			m.limits[k] = limit
		}
		next := s
		if next.told[p] = min(limit, s.store[p].at()); m.broken != "goes back" {
			next.told[p] = max(next.told[p], s.told[p])
		}
		m.check(s, p, next.told[p], silent)
		next.acked = max(s.acked, next.told[p])
		m.visit(next)
	}
}

// check is G1 by counting disks, under its own rule and that of the other while it is heard.
func (m *takeover) check(s scene, p int, told uint8, silent bool) {
	if told < s.told[p] {
		m.violated(m.now, "p%d reports %d after %d on one connection", p, told, s.told[p])
	}
	if told <= 1 || told == s.told[p] && s.told[p] > 0 && m.broken != "carried over" {
		return // nothing new
	}
	if told > s.store[p].at() {
		m.violated(m.now, "p%d reports %d, and has %d", p, told, s.store[p].at())
	}
	rules := []uint8{s.rule[p]}
	if s.knowRule[p] > 0 && !silent {
		rules = append(rules, s.knowRule[p]-1)
	}
	holds := func(at spot) bool { return at.at() >= told && (told <= s.fork || at&second == s.branch()) }
	for _, r := range rules {
		d, n := m.ruleOf[r], 0
		for i := range 2 {
			if !s.isPrimary(i) && holds(s.standby[i]) && quorum.Priority(d.Names, quorum.Voter{Name: standbyName(i)}) > 0 {
				n++
			}
			if holds(s.store[i]) && quorum.Priority(d.Names, quorum.Voter{Name: proxyName(i), Store: true}) > 0 {
				n++
			}
		}
		if n < int(d.Names.Count) {
			m.violated(m.now, "p%d reports %d under %q, held by %d", p, told, m.rules[r], n)
		}
	}
}

// ask asks a real ledger that knows what k says.
func (m *takeover) ask(k askKey) uint8 {
	now := time.Unix(1e9, 0)
	must := func(err error) {
		if err != nil {
			m.t.Fatal(err)
		}
	}
	rule := func(i uint8) vote.Rule {
		return vote.Rule{RuleText: vote.RuleText{Names: m.rules[i]}, Generation: uint64(i) + 1}
	}
	var fenced lsn.TimelineID
	if k.fenced {
		fenced = 1
	}
	own, other := proxyName(k.p), proxyName(1-k.p)
	l, err := ledger.New(ledger.Options{
		Node: own, Boot: 1, Members: []string{own, other}, Timeout: time.Minute, Rule: rule(k.rule), Fenced: fenced,
	})
	must(err)
	known := vote.Fingerprint{Never: true}
	l.SetHistory(1, known) // a timeline's number says which branch it is
	tli := k.recv.tli()
	seen := func(at spot) lsn.TimelineID {
		if m.broken == "any timeline" {
			return tli
		}
		return at.tli()
	}
	position := func(at spot) lsn.LSN { return lsn.LSN(at.at()) }
	if !k.ownPrimary {
		must(l.Attach(now, 1, vote.Standby, standbyName(k.p), system))
		at, received := position(k.standby), position(k.recv)
		if k.standby.tli() != tli {
			received = at
		}
		l.Ack(now, ledger.Ack{
			Incarnation: 1, Timeline: seen(k.standby), Received: received, Sent: received, Progress: lsn.Progress{Write: at, Flush: at, Apply: at},
			Streaming: true,
		})
	}
	must(l.Attach(now, 2, vote.Store, own, system))
	l.Ack(now, ledger.Ack{
		Incarnation: 2, Timeline: tli, Received: position(k.recv), Progress: lsn.Progress{Write: position(k.recv), Flush: position(k.store)}, Streaming: true,
	})
	if k.knowRule > 0 {
		state := vote.State{Node: other, Boot: 1, Seq: 1, HistoryHash: 1, FirstWAL: known, Fenced: fenced, Rule: rule(k.knowRule - 1)}
		if m.broken == "own rule only" {
			state.Rule = rule(k.rule)
		}
		key := func(i uint64) vote.Key { return vote.Key{Node: other, Incarnation: i} }
		if !k.otherPrimary {
			state.Sessions = append(state.Sessions, vote.Session{
				Key: key(1), Kind: vote.Standby, Name: standbyName(1 - k.p), System: system,
			})
		}
		state.Sessions = append(state.Sessions, vote.Session{Key: key(2), Kind: vote.Store, Name: other, System: system})
		must(l.Merge(now, state))
		for i, at := range []spot{k.knowStandby, k.knowSto} {
			if at > 0 && (i == 1 || !k.otherPrimary) {
				l.Report(now, vote.Report{
					Key: key(uint64(i + 1)), Seq: 1, Timeline: seen(at), Progress: lsn.Progress{Write: position(at), Flush: position(at), Apply: position(at)},
					Streaming: true,
				})
			}
		}
	}
	if k.silent {
		now = now.Add(time.Hour)
	}
	return uint8(min(flushed(l, now, system, tli), lsn.LSN(m.levels)))
}

// promote: both proxies are fenced, the candidate is fed, and its branch is the primary's from here on. Connections to
// the old one end. The new one has all WAL, and a slot for each store.
func (m *takeover) promote(s scene, c int) {
	if s.fork > 0 || m.changes() {
		return
	}
	var q tail.Question
	q.Begin = 1
	for i := range 2 {
		q.Standbys = append(q.Standbys, tail.Holder{
			Name: standbyName(i), ID: uint64(i), Final: i == c, End: lsn.LSN(s.standby[i].at()),
		})
		q.Proxies = append(q.Proxies, tail.Proxy{Holder: tail.Holder{
			Name: proxyName(i), ID: uint64(i + 2), Store: true, Final: true, End: lsn.LSN(s.store[i].at()),
		}})
	}
	proof := q.Prove()
	next := s
	if next.fork = max(uint8(proof.Target), s.standby[c].at()); m.broken == "unfed" {
		next.fork = s.standby[c].at()
	}
	next.promoted, next.end, next.low = uint8(c), next.fork, 0
	next.standby[c] = 0
	for p := range 2 {
		next.slot[p] = min(s.store[p].at(), next.fork)
		if next.told[p] = 0; s.via[p] == fromPrimary {
			next.via[p] = fromNobody
		}
	}
	if s.acked > next.fork {
		m.violated(m.now, "acknowledged up to %d, the new timeline begins at %d", s.acked, next.fork)
	}
	m.visit(next)
}
