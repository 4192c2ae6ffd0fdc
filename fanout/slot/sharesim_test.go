package slot

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// shareSeeds counts the simulated clusters that share slots, from REPLPROXY_SEED on; REPLPROXY_SLOT_SEEDS changes it.
const shareSeeds = 500

func number(t *testing.T, variable string, otherwise uint64) uint64 {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// TestSharedSlotsSimulated runs the real tables of three proxies, with offers and news in any order. Disks lose power;
// the network is cut, mended and slow to notice. After each step:
//
//   - No session begins while another one of the slot lives at a proxy that can be asked.
//   - A session's restart_lsn is the one that it reported or found.
//   - A slot that everybody durably knows to be dropped stays dropped.
//
// In the end all agree.
//
// The same goes for a cluster of one, and for a proxy without a cluster. There every claim stands, and after each step
// the slots are those that were made and not dropped.
func TestSharedSlotsSimulated(t *testing.T) {
	seeds, first := number(t, "REPLPROXY_SLOT_SEEDS", shareSeeds), number(t, "REPLPROXY_SEED", 1)
	figures := fmt.Sprintf("%d seeds from %d", seeds, first)
	for _, kind := range []struct {
		what  string
		nodes []string
		never []int // events
	}{
		{"three proxies", []string{"a", "b", "c"}, nil},
		{"a cluster of one", []string{"a"}, []int{tookOver, wasBusy, hadYielded, hadClaimed}},
		{"no cluster", []string{""}, []int{tookOver, wasBusy, hadYielded, hadClaimed, allKnewDrop}},
	} {
		did := simulateSharing(t, kind.nodes, first, seeds)
		figures += "; " + kind.what
		for event, n := range did {
			if never := slices.Contains(kind.never, event); never && n > 0 {
				t.Errorf("%s: %s happened", kind.what, events[event])
			} else if !never && n < int(seeds)/50 {
				t.Errorf("%s: %s happened %d times only", kind.what, events[event], n)
			} else if !never {
				figures += fmt.Sprintf(", %d %s", n, events[event])
			}
		}
	}
	t.Logf("soak: %s", figures)
}

// simulateSharing returns how often each event happened.
func simulateSharing(t *testing.T, nodes []string, first, seeds uint64) (did [numEvents]int) {
	for seed := first; seed < first+seeds; seed++ {
		w := newShareWorld(t, seed, nodes)
		for range 300 {
			w.step()
			w.check()
		}
		w.mend()
		for i, n := range w.did {
			did[i] += n
		}
	}
	return did
}

// What a simulation is worth is what happens in it.
const (
	tookOver = iota
	wasBusy
	wasCreated
	wasDropped
	hadYielded
	hadClaimed
	allKnewDrop
	hadSession
	numEvents
)

var events = [numEvents]string{
	"taken over", "busy", "created", "dropped", "yielded", "claimed again", "drop known to all", "attached",
}

// proceed asks one member more, or ends the claim.
func (w *shareWorld) proceed(c *shareClaim) {
	if len(c.ask) > 0 {
		k := w.rnd.IntN(len(c.ask))
		i := c.ask[k]
		c.ask = slices.Delete(c.ask, k, k+1)
		if !w.connected(c.at.i, i) {
			c.tally.Silent(w.nodes[i].name, w.hears(c.at.i)(w.nodes[i].name))
			return
		}
		why, said := w.nodes[i].table.Offer(c.wish, c.claim, w.hears(i))
		w.note("%s answers %s: %d %+v", w.nodes[i].name, c.at.name, why, said)
		c.tally.Answer(w.nodes[i].name, why, said)
		if why == shared.Behind || why == shared.Exists {
			w.meet(c.at, said)
		}
		return
	}
	w.claims = slices.DeleteFunc(w.claims, func(x *shareClaim) bool { return x == c })
	if outcome, _ := c.tally.Outcome(); outcome != shared.Won {
		c.at.table.Retract(c.claim)
		if outcome == shared.Refused {
			w.did[wasBusy]++
		}
		return
	}
	w.commit(c)
}

func (w *shareWorld) commit(c *shareClaim) {
	n, name := c.at, c.claim.Name
	was := n.table.Known(name)
	var g *Guard
	var err error
	switch c.wish {
	case shared.Create:
		err = n.table.Create(c.claim, Seed{Restart: w.now}, c.pid)
	case shared.Drop:
		err = n.table.Drop(c.claim, c.pid)
	case shared.Attach:
		g, err = n.table.Acquire(c.claim, c.pid)
	}
	if err != nil {
		if w.alone() {
			w.fail("a claim that nobody could beat: %v", err)
		}
		return
	}
	switch c.wish {
	case shared.Create:
		w.did[wasCreated]++
		w.created[name] = append(w.created[name], n.table.Known(name).Generation)
		w.top[name] = max(w.top[name], w.now)
		w.saved[n.i][name] = n.table.Known(name)
		w.there[name] = true
	case shared.Drop:
		w.did[wasDropped]++
		w.saved[n.i][name] = n.table.Known(name)
		w.there[name] = false
	case shared.Attach:
		w.did[hadSession]++
		for _, o := range w.nodes {
			if o != n && o.live[name] != nil && !c.disturbed && w.connected(n.i, o.i) {
				w.fail("a session of %s begins at %s while one lives at %s", name, n.name, o.name)
			}
		}
		if was.Owner != n.name {
			w.did[tookOver]++
		}
		s := &shareSession{guard: g, at: n.table.Known(name).Restart}
		g.OnLost(func() { s.evicted = true })
		n.live[name] = s
	}
	w.note("%s has done %d of %s: %+v", n.name, c.wish, name, n.table.Known(name))
	for i := range w.nodes {
		w.gossip(n.i, i, []shared.State{n.table.Known(name)})
	}
}

func (w *shareWorld) leave(n *shareNode, name string) {
	if s := n.live[name]; s != nil {
		s.guard.Release()
		delete(n.live, name)
	}
}

func (w *shareWorld) report(n *shareNode, name string) {
	w.now += lsn.LSN(w.rnd.IntN(50))
	if s := n.live[name]; s != nil {
		s.at = w.now - lsn.LSN(w.rnd.IntN(100))
		s.guard.Confirm(s.at)
		w.top[name] = max(w.top[name], s.at)
	}
}

func (w *shareWorld) gossip(from, to int, states []shared.State) {
	if from != to && len(w.news) < 50 {
		w.news = append(w.news, shareNews{from, to, states})
	}
}

// deliver brings some news, once or twice or not at all.
func (w *shareWorld) deliver(k int) {
	m := w.news[k]
	if w.rnd.IntN(4) > 0 {
		w.news = slices.Delete(w.news, k, k+1)
	}
	if !w.connected(m.from, m.to) {
		return
	}
	for _, s := range m.states {
		w.meet(w.nodes[m.to], s)
	}
}

func (w *shareWorld) meet(n *shareNode, s shared.State) {
	if s.Generation == 0 {
		return
	}
	now, met := n.table.Meet(s)
	switch met {
	case shared.Kept:
		return
	case shared.Yielded:
		w.did[hadYielded]++
	case shared.Claimed:
		w.did[hadClaimed]++
	}
	w.note("%s is told %+v: %d", n.name, s, met)
	if now.Dropped {
		w.persist(n) // as package sharing does before it confirms
	}
	if l := n.live[s.Name]; l != nil && l.evicted {
		delete(n.live, s.Name)
	}
}

// check checks the invariants.
func (w *shareWorld) check() {
	for _, name := range []string{"x", "y"} {
		w.dropped(name)
		for _, n := range w.nodes {
			if !n.up {
				continue
			}
			s := n.table.Known(name)
			if w.alone() && s.Exists() != w.there[name] {
				w.fail("%s is there: %v, it should be: %v", name, s.Exists(), w.there[name])
			}
			if s.Exists() && (s.Restart == lsn.Invalid || s.Restart > w.top[name]) {
				w.fail("%s at %s holds from %s, nobody reported beyond %s", name, n.name, s.Restart, w.top[name])
			}
			if l := n.live[name]; l != nil && (s.Restart != l.at || s.Owner != n.name || s.ActivePID == 0) {
				w.fail("the session of %s at %s reported %s, the slot is %+v", name, n.name, l.at, s)
			}
			if s.Exists() && n.table.Oldest() > s.Restart {
				w.fail("%s does not keep %s", n.name, name)
			}
			made := func(g uint64) bool { return g > w.tombstones[name] && g <= s.Generation }
			if s.Exists() && w.tombstones[name] > 0 && !slices.ContainsFunc(w.created[name], made) {
				w.fail("%s is back at %s: %+v, all knew of its drop in generation %d", name, n.name, s, w.tombstones[name])
			}
		}
	}
}

// dropped notes when every disk has the same tombstone of a name.
func (w *shareWorld) dropped(name string) {
	same := w.saved[0][name]
	for i, n := range w.nodes {
		if s := w.saved[i][name]; !s.Dropped || s != same || n.up && n.table.Known(name) != same {
			return
		}
	}
	if same.Generation > w.tombstones[name] {
		w.did[allKnewDrop]++
		w.tombstones[name] = same.Generation
	}
}

// mend restores everything and tells everybody everything: then all know the same, and of each slot at most one
// session lives.
func (w *shareWorld) mend() {
	w.cut, w.noticed, w.news, w.claims = [3][3]bool{}, [3][3]bool{}, nil, nil
	for _, n := range w.nodes {
		if !n.up {
			w.start(n)
		}
	}
	for range 6 {
		for _, from := range w.nodes {
			for _, to := range w.nodes {
				for _, s := range from.table.Shared() {
					if from != to {
						w.meet(to, s)
					}
				}
			}
		}
	}
	w.check()
	first := w.nodes[0].table.Shared()
	for _, n := range w.nodes[1:] {
		if got := n.table.Shared(); !slices.Equal(got, first) {
			w.fail("%s knows\n%+v\na knows\n%+v", n.name, got, first)
		}
	}
	for _, name := range []string{"x", "y"} {
		lives := 0
		for _, n := range w.nodes {
			if n.live[name] != nil {
				lives++
			}
		}
		if lives > 1 {
			w.fail("%d sessions of %s", lives, name)
		}
	}
}
