package puller

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// world is members, a primary, and who reaches whom, in virtual time.
type world struct {
	now   time.Time
	nodes []*node
	// cut: from, to; the primary is the last index. A stream needs both ways, hearing one.
	cut  map[[2]int]bool
	dead map[int]bool
	// mute: since when what members say to the primary, and it to them, is lost without a word.
	mute map[int]time.Time
	// full: since when a member's disk takes nothing.
	full map[int]time.Time
	// deaf: since when the stream from the primary to a member is dead without a word. A new one works.
	deaf map[int]time.Time
	// fenced members report nothing; deafened ones do not hear voters, and what they may report stands.
	fenced, deafened map[int]bool
	end              lsn.LSN // of the primary's WAL
}

type node struct {
	covers  lsn.LSN
	silent  bool // of a release that does not say what it covers
	name    string
	core    *Core
	choice  Choice
	since   time.Time // of choice: a connection takes a moment
	stream  bool
	pulls   bool // as told last
	without time.Time
}

const step = 100 * time.Millisecond

func newWorld(n int) *world {
	w := &world{now: time.Unix(1e9, 0), cut: map[[2]int]bool{}, dead: map[int]bool{}, mute: map[int]time.Time{}, full: map[int]time.Time{},
		deaf: map[int]time.Time{}, fenced: map[int]bool{}, deafened: map[int]bool{}, end: 1000}
	for i := range n {
		name := fmt.Sprintf("proxy_%c", 'a'+i)
		w.nodes = append(w.nodes, &node{name: name, core: NewCore(name, w.now), without: w.now})
	}
	return w
}

func (w *world) primary() int { return len(w.nodes) }

func (w *world) both(a, b int) bool {
	return !w.cut[[2]int{a, b}] && !w.cut[[2]int{b, a}] && !w.dead[a] && !w.dead[b]
}

func (w *world) index(name string) int {
	return slices.IndexFunc(w.nodes, func(n *node) bool { return n.name == name })
}

// tick lets a step pass: streams come or break, then every member looks.
func (w *world) tick() {
	w.now, w.end = w.now.Add(step), w.end+1
	for i, n := range w.nodes {
		from := w.primary()
		if n.choice.Member != "" {
			from = w.index(n.choice.Member)
		}
		was := n.stream
		n.stream = n.choice.Known && w.both(i, from) && w.now.Sub(n.since) >= 2*step
		if !n.stream || from != w.primary() || w.now.Sub(w.deaf[i]) >= time.Minute {
			delete(w.deaf, i)
		}
		if at := w.mute[i]; from == w.primary() && !at.IsZero() { // a stream stays for receiver_timeout, none begins
			n.stream = n.stream && was && w.now.Sub(at) < time.Minute
		}
		// A loop of members has a stream without WAL, as in reality.
	}
	told := make([]Peer, len(w.nodes))
	for i, n := range w.nodes {
		told[i] = Peer{
			Name: n.name, Pulls: n.pulls, Silent: w.silent(i) >= 4*time.Second, LetsGo: n.core.LetsGo(w.now), Deaf: w.silent(i) >= deafAfter, Stuck: n.core.Stuck(w.now),
			Reaches: n.stream && w.both(i, w.primary()) && w.mute[i].IsZero(), Covers: n.covers, Tells: !n.silent,
		}
	}
	for i, n := range w.nodes {
		if w.dead[i] {
			n.pulls = false
			continue
		}
		v := View{
			System: 7, Streaming: n.stream, Reaches: w.both(i, w.primary()) && w.mute[i].IsZero(),
			Silent: w.silent(i) >= 4*time.Second, Unanswered: w.silent(i) >= 10*time.Second && !w.mute[i].IsZero(), Stuck: w.stuck(i),
			Covers: n.covers,
		}
		for j := range w.nodes {
			if i != j {
				p := told[j]
				p.Live = !w.dead[j] && !w.cut[[2]int{j, i}]
				v.Peers = append(v.Peers, p)
			}
		}
		if next := n.core.Step(w.now, v); next != n.choice {
			n.choice, n.since, n.stream = next, w.now, false
		}
		n.pulls = n.core.Pulls(n.stream)
		if w.reached(i, 0) {
			n.without = w.now
		}
		switch {
		case w.fenced[i]:
			n.covers = 0
		case w.reached(i, 0) && !w.deafened[i]:
			n.covers = w.end
		}
	}
}

// stuck reports whether it shows that the disk of i takes nothing.
func (w *world) stuck(i int) bool {
	at := w.full[i]
	return !at.IsZero() && w.now.Sub(at) >= 4*time.Second
}

// reached reports whether WAL of the primary reaches i, and its disk.
func (w *world) reached(i, hops int) bool {
	n := w.nodes[i]
	if !n.stream || hops > len(w.nodes) || !w.full[i].IsZero() {
		return false
	}
	if n.choice.Primary() {
		return w.mute[i].IsZero() && w.deaf[i].IsZero()
	}
	return w.reached(w.index(n.choice.Member), hops+1)
}

// silent is for how long i's stream from the primary has been silent.
func (w *world) silent(i int) time.Duration {
	n, at := w.nodes[i], w.mute[i]
	if at.IsZero() {
		at = w.deaf[i]
	}
	if at.IsZero() || !n.stream || !n.choice.Primary() {
		return 0
	}
	return w.now.Sub(at)
}

func (w *world) run(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.tick()
	}
}

func (w *world) pullers() (names []string) {
	for _, n := range w.nodes {
		if n.pulls {
			names = append(names, n.name)
		}
	}
	return names
}

func (w *world) restart(i int) {
	delete(w.dead, i)
	w.nodes[i].core, w.nodes[i].choice = NewCore(w.nodes[i].name, w.now), Choice{}
	w.nodes[i].pulls, w.nodes[i].stream, w.nodes[i].without, w.nodes[i].covers = false, false, w.now, 0
}

func TestOnePulls(t *testing.T) {
	for n := 1; n <= 5; n++ {
		w := newWorld(n)
		w.run(10 * time.Second)
		if len(w.pullers()) != 1 {
			t.Errorf("%d members: %q pull", n, w.pullers())
		}
	}
}

func TestTakeoverIsQuickAndSticky(t *testing.T) {
	w := newWorld(3)
	w.run(10 * time.Second)
	was := w.index(w.pullers()[0])
	w.dead[was] = true
	w.run(patience + 2*time.Second)
	took := w.pullers()
	if len(took) != 1 || w.index(took[0]) == was {
		t.Fatalf("%q pull after %s died", took, w.nodes[was].name)
	}
	for i := range w.nodes {
		if i != was && !w.reached(i, 0) {
			t.Errorf("%s gets no WAL: %+v", w.nodes[i].name, w.nodes[i].choice)
		}
	}
	w.restart(was)
	w.run(2 * detour)
	if got := w.pullers(); !slices.Equal(got, took) {
		t.Errorf("%q pull after %s is back, not %q", got, w.nodes[was].name, took)
	}
}

// A puller whose leg to the primary is silently cut lets go of it for whoever reaches it, and goes on pulling where
// nobody does. When the leg is mended it stays with who pulls now.
func TestSilentCut(t *testing.T) {
	for n := 2; n <= 5; n++ {
		w := newWorld(n)
		w.run(10 * time.Second)
		was := w.index(w.pullers()[0])
		w.mute[was] = w.now
		w.run(15 * time.Second)
		took := w.pullers()
		for i := range w.nodes {
			if !w.reached(i, 0) {
				t.Errorf("%d members: %s gets no WAL 15 s after the cut: %+v", n, w.nodes[i].name, w.nodes[i].choice)
			}
		}
		delete(w.mute, was)
		w.run(2 * detour)
		if got := w.pullers(); len(took) != 1 || !slices.Equal(got, took) {
			t.Errorf("%d members: %q pulled, and %q when the leg was mended", n, took, got)
		}
	}
	w := newWorld(2)
	w.run(10 * time.Second)
	was := w.pullers()
	for i := range w.nodes {
		w.mute[i] = w.now
	}
	w.run(30 * time.Second)
	if got := w.pullers(); !slices.Equal(got, was) {
		t.Errorf("nobody reaches the primary, and %q pull, not %q", got, was)
	}
}

// A primary that restarts finds the same puller, and the others where they were.
func TestPrimaryRestarts(t *testing.T) {
	w := newWorld(4)
	w.run(10 * time.Second)
	was := w.pullers()
	w.dead[w.primary()] = true
	w.run(patience)
	delete(w.dead, w.primary())
	w.run(time.Second)
	if got := w.pullers(); !slices.Equal(got, was) {
		t.Errorf("%q pull, not %q", got, was)
	}
}

// TestWhoeverCanStreams plays cuts and crashes: within a bound after the last of them every member that can
// be reached is, and where all is well again one pulls.
func TestWhoeverCanStreams(t *testing.T) {
	bound := introduction + 5*turn + 2*patience + silence + detour
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(1 + r.IntN(5))
		for range 20 {
			i, j := r.IntN(w.primary()+1), r.IntN(w.primary()+1)
			switch r.IntN(11) {
			case 10:
				w.fenced[i] = true
			case 9:
				w.deafened[i] = r.IntN(2) == 0
			case 8:
				w.deaf[i] = w.now
			case 7:
				if w.full[i] = w.now; r.IntN(2) == 0 {
					delete(w.full, i)
				}
			case 6:
				if w.mute[i] = w.now; r.IntN(2) == 0 {
					delete(w.mute, i)
				}
			case 0, 1, 2:
				w.cut[[2]int{i, j}] = true
			case 3:
				w.cut = map[[2]int]bool{}
			case 4:
				w.dead[i] = true
			default:
				if i == w.primary() {
					delete(w.dead, i)
				} else {
					w.restart(i)
				}
			}
			w.run(time.Duration(r.IntN(8000)) * time.Millisecond)
		}
		w.run(bound)
		for i, n := range w.nodes {
			if !w.dead[i] && w.both(i, w.primary()) && w.mute[i].IsZero() && w.full[i].IsZero() &&
				w.deaf[i].IsZero() && w.now.Sub(n.without) > 2*patience {
				t.Fatalf("seed %d: %s reaches the primary and has had no WAL for %s: %+v", seed, n.name,
					w.now.Sub(n.without), n.choice)
			}
		}
		w.cut, w.mute, w.full = map[[2]int]bool{}, map[int]time.Time{}, map[int]time.Time{}
		clear(w.deafened)
		for i := range w.nodes {
			if w.dead[i] {
				w.restart(i)
			}
		}
		delete(w.dead, w.primary())
		w.run(bound)
		if got := w.pullers(); len(got) != 1 || w.fenced[w.index(got[0])] && w.someReports() {
			t.Fatalf("seed %d: %q pull, fenced are %v", seed, got, w.fenced)
		}
		for i, n := range w.nodes {
			if !w.reached(i, 0) {
				t.Fatalf("seed %d: %s gets no WAL: %+v", seed, n.name, n.choice)
			}
		}
	}
}
