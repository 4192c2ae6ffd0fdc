package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// Run plays one seed, broken by fault or not. The error is the first violation, with the trace before it.
func Run(seed uint64, fault Fault) (Stats, error) {
	dark := fault == FollowsAlone || fault == BoundForgotten || fault == MembersOwed ||
		fault == PaidIsForgotten
	return play(seed, fault, dark)
}

// play plays one world, as Run does; with dark all that happens is a blackout.
func play(seed uint64, fault Fault, dark bool) (Stats, error) {
	once := func(traced bool) *world {
		w := newWorld(seed, fault, traced)
		if dark {
			w.darken()
		}
		w.run()
		return w
	}
	w := once(false)
	if w.bad != nil {
		w = once(true) // the same once more, told
		return w.stats, fmt.Errorf("seed %d: %w\n%s", seed, w.bad, strings.Join(w.trace, "\n"))
	}
	return w.stats, nil
}

func (w *world) run() {
	for w.bad == nil && len(w.queue) > 0 && w.queue[0].at < duration {
		e := w.queue.pop()
		w.now = e.at
		e.do()
		w.stats.Steps++
	}
}

// newWorld draws the cast: two to four servers behind one to three proxies.
func newWorld(seed uint64, fault Fault, traced bool) *world {
	w := &world{
		rng: rand.New(rand.NewPCG(seed, 1)), beside: rand.New(rand.NewPCG(seed, 2)), fault: fault,
		forks: []fork{{}, {historyHash: 1, begun: 1}}, acked: map[lsn.TimelineID]lsn.LSN{}, official: 1, traced: traced,
	}
	for i := range 2 + w.rng.IntN(4) {
		s := &server{w: w, id: i, name: fmt.Sprintf("s%d", i), up: true, tli: 1}
		s.written, s.flushed, s.applied = 100, 100, 100
		s.bestWritten, s.bestApplied = s.end(), s.end()
		if i > 1 && w.chance(6) {
			s.name = "s1"
		}
		w.servers = append(w.servers, s)
	}
	for i := range 1 + w.rng.IntN(3) {
		w.proxies = append(w.proxies, &proxy{
			w: w, id: len(w.servers) + i, name: fmt.Sprintf("p%d", i), disk: newDisk(),
			release: link.Newest,
		})
		p := w.proxies[i]
		p.tli, p.flushed, p.received, p.best = 1, 100, 100, place{1, 100}
		p.writes = w.beside.IntN(4) == 0
	}
	if s := w.servers[len(w.servers)-1]; len(w.servers) > 2 && s.name != "s1" && w.chance(2) {
		s.covered = true
	}
	if w.chance(8) {
		w.proxies[0].release = link.Oldest
	}
	w.op.id = len(w.servers) + len(w.proxies)
	for range w.op.id + 1 {
		w.blocked = append(w.blocked, make([]bool, w.op.id+1))
	}
	w.op.ruleText = w.anyRule()
	w.servers[0].primary = true
	for _, s := range w.servers {
		s.names = w.anyNames()
	}
	for _, p := range w.proxies {
		p.wanted = w.op.ruleText
		p.rule = vote.Rule{RuleText: p.wanted, Generation: 1, Established: true}
	}
	for _, p := range w.proxies {
		p.start()
		w.after(w.between(1, tick), p.tick)
	}
	for _, s := range w.servers {
		w.after(w.between(1, tick), s.tick)
	}
	w.after(100, w.clients)
	w.after(500, w.tidyUp)
	w.after(w.between(500, 2500), w.nemesis)
	w.after(calmAfter, w.endTrouble)
	return w
}

// anyNames returns a primary's rule over the proxies.
func (w *world) anyNames() syncrep.Rule {
	r := syncrep.Rule{Method: syncrep.Any, Count: 1}
	if w.chance(4) {
		r.Method = syncrep.First
	}
	for _, p := range w.proxies {
		r.Names = append(r.Names, p.name)
	}
	return r
}

// anyRule returns a rule that can be satisfied while one voter is the primary.
func (w *world) anyRule() vote.RuleText {
	var names []string
	zones := []vote.Zone{{Name: "east"}, {Name: "west"}}
	label := func(name string) {
		i := w.rng.IntN(2)
		if !slices.ContainsFunc(zones, func(z vote.Zone) bool { return slices.Contains(z.Voters, name) }) {
			zones[i].Voters = append(zones[i].Voters, name)
		}
	}
	most := -1
	for _, s := range w.servers {
		if !s.covered || w.chance(6) {
			names = append(names, s.name)
			label(s.name)
			most++
		}
	}
	if w.chance(3) {
		names, most = []string{syncrep.Wildcard}, len(w.servers)-1
	}
	for _, p := range w.proxies {
		if label(p.name); w.chance(2) {
			names = append(names, p.name)
			most++
		}
	}
	w.rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	r := syncrep.Rule{Method: syncrep.Any, Count: int32(1 + w.rng.IntN(most)), Names: names}
	if w.chance(3) {
		r.Method = syncrep.First
	}
	d := vote.RuleText{Names: r.String()}
	if w.chance(3) && w.inZone(zones[0]) > 1 && w.inZone(zones[1]) > 1 {
		d.Spread, d.Zones = "ANY 2 (east, west)", zones
		if w.chance(2) {
			d.Spread = "ANY 1 (west)"
		}
	}
	return d
}

// inZone counts the servers in z; one of them may be the primary.
func (w *world) inZone(z vote.Zone) (n int) {
	for _, s := range w.servers {
		if slices.Contains(z.Voters, s.name) {
			n++
		}
	}
	return n
}

// clients commit on every primary that runs, the wrong ones too.
func (w *world) clients() {
	w.after(w.between(30, 300), w.clients)
	for _, s := range w.servers {
		if s.up && s.primary {
			s.insert()
		}
	}
}

func (s *Stats) add(o Stats) {
	s.Steps += o.Steps
	s.Commits += o.Commits
	s.Acked += o.Acked
	s.Reports += o.Reports
	s.Promotions += o.Promotions
	s.NotProven += o.NotProven
	s.Crashes += o.Crashes
	s.Rules += o.Rules
	s.Rewinds += o.Rewinds
	s.Reverted += o.Reverted
	s.Wiped += o.Wiped
	s.Mistakes += o.Mistakes
	s.Split += o.Split
	s.Mended += o.Mended
	s.Differed += o.Differed
	s.Accepted += o.Accepted
	s.GivenUp += o.GivenUp
	s.Refused += o.Refused
	s.MadeAnew += o.MadeAnew
	s.Covered += o.Covered
	s.Unmounted += o.Unmounted
	s.Owing += o.Owing
	s.Asking += o.Asking
}
