package slot

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/replproxy/replproxy/fanout/slot/shared"
	"github.com/replproxy/replproxy/grammar/lsn"
)

type shareWorld struct {
	t          *testing.T
	seed       uint64
	rnd        *rand.Rand
	nodes      []*shareNode
	cut        [3][3]bool
	noticed    [3][3]bool // the cut
	news       []shareNews
	claims     []*shareClaim
	pids       int32
	now        lsn.LSN                    // of the primary
	created    map[string][]uint64        // generations
	tombstones map[string]uint64          // generation of a tombstone that all have on disk
	saved      [3]map[string]shared.State // what a disk surely has
	top        map[string]lsn.LSN         // the highest position of any session
	there      map[string]bool            // made and not dropped; for a single proxy
	trail      []string
	did        [numEvents]int
}

type shareNode struct {
	i     int
	name  string
	disk  *memFS
	table *Table
	up    bool
	live  map[string]*shareSession
}

type shareSession struct {
	guard   *Guard
	at      lsn.LSN
	evicted bool
}

type shareNews struct {
	from, to int
	states   []shared.State
}

// shareClaim is an offer that goes around.
type shareClaim struct {
	wish        shared.Wish
	at          *shareNode
	pid         int32
	claim, have shared.State
	tally       *shared.Tally
	ask         []int
	disturbed   bool // the network changed meanwhile
}

func newShareWorld(t *testing.T, seed uint64, nodes []string) *shareWorld {
	w := &shareWorld{
		t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 7)), now: 1000, created: map[string][]uint64{},
		tombstones: map[string]uint64{}, top: map[string]lsn.LSN{}, there: map[string]bool{},
	}
	for i, name := range nodes {
		n := &shareNode{i: i, name: name, disk: newMemFS(seed + uint64(i)<<32)}
		w.nodes = append(w.nodes, n)
		w.start(n)
	}
	return w
}

func (w *shareWorld) start(n *shareNode) {
	table, err := Open("slots", Options{FS: n.disk, Node: n.name, Max: 16})
	if err != nil {
		w.fail("open %s: %v", n.name, err)
	}
	n.table, n.up, n.live = table, true, map[string]*shareSession{}
	w.persist(n)
}

func (w *shareWorld) fail(format string, args ...any) {
	w.t.Helper()
	for _, line := range w.trail[max(0, len(w.trail)-40):] {
		w.t.Log(line)
	}
	w.t.Fatalf("seed %d: %s", w.seed, fmt.Sprintf(format, args...))
}

func (w *shareWorld) note(format string, args ...any) {
	w.trail = append(w.trail, fmt.Sprintf(format, args...))
}

func (w *shareWorld) connected(a, b int) bool {
	return w.nodes[a].up && w.nodes[b].up && !w.cut[a][b]
}

// hears reports whether a node's link says that another one is up. A cut is noticed late, a death at once.
func (w *shareWorld) hears(n int) func(string) bool {
	return func(name string) bool {
		o := int(name[0] - 'a')
		return w.nodes[o].up && !w.noticed[n][o]
	}
}

func (w *shareWorld) persist(n *shareNode) {
	if err := n.table.Persist(); err != nil {
		w.fail("persist: %v", err)
	}
	w.saved[n.i] = map[string]shared.State{}
	for _, s := range n.table.Shared() {
		w.saved[n.i][s.Name] = s
	}
	for file, b := range n.disk.now {
		if n.name == "" && (len(b) != fileSize || !w.there[file]) {
			w.fail("file %s of %d bytes", file, len(b))
		}
	}
}

// alone reports whether there is nobody to ask.
func (w *shareWorld) alone() bool { return len(w.nodes) == 1 }

func (w *shareWorld) step() {
	n := w.nodes[w.rnd.IntN(len(w.nodes))]
	name := []string{"x", "y"}[w.rnd.IntN(2)]
	switch e := w.rnd.IntN(100); {
	case e < 4:
		w.network()
	case e < 8 && n.up:
		w.crash(n)
	case e < 16 && !n.up:
		w.start(n)
		w.note("%s starts", n.name)
	case !n.up:
	case e < 20:
		w.persist(n)
	case e < 28:
		w.propose(n, shared.Create, name)
	case e < 40:
		w.propose(n, shared.Attach, name)
	case e < 43:
		w.propose(n, shared.Drop, name)
	case e < 48:
		w.leave(n, name)
	case e < 58:
		w.report(n, name)
	case e < 70:
		w.gossip(n.i, w.rnd.IntN(len(w.nodes)), n.table.Shared())
	case e < 82 && len(w.news) > 0:
		w.deliver(w.rnd.IntN(len(w.news)))
	case len(w.claims) > 0:
		w.proceed(w.claims[w.rnd.IntN(len(w.claims))])
	}
}

func (w *shareWorld) network() {
	a, b := w.rnd.IntN(len(w.nodes)), w.rnd.IntN(len(w.nodes))
	if a == b {
		return
	}
	switch was := w.cut[a][b]; {
	case was && !w.noticed[a][b] && w.rnd.IntN(2) == 0:
		w.noticed[a][b], w.noticed[b][a] = true, true
	default:
		w.cut[a][b], w.cut[b][a] = !was, !was
		w.noticed[a][b], w.noticed[b][a] = false, false
		w.note("%d and %d cut: %v", a, b, !was)
	}
	for _, c := range w.claims {
		c.disturbed = c.disturbed || c.at.i == a || c.at.i == b
	}
}

func (w *shareWorld) crash(n *shareNode) {
	w.note("%s crashes", n.name)
	n.disk.reboot()
	n.up, n.live = false, map[string]*shareSession{}
	w.claims = slices.DeleteFunc(w.claims, func(c *shareClaim) bool { return c.at == n })
	w.news = slices.DeleteFunc(w.news, func(m shareNews) bool { return m.from == n.i || m.to == n.i }) // as TCP does
	for _, c := range w.claims {
		c.disturbed = true
	}
}

func (w *shareWorld) propose(n *shareNode, wish shared.Wish, name string) {
	w.pids++
	claim, have, err := n.table.Propose(wish, name, w.pids)
	if err != nil {
		return
	}
	w.note("%s proposes %d of %s: %+v", n.name, wish, name, claim)
	c := &shareClaim{wish: wish, at: n, pid: w.pids, claim: claim, have: have, tally: shared.NewTally(wish, have)}
	for i := range w.nodes {
		if i != n.i {
			c.ask = append(c.ask, i)
		}
	}
	w.claims = append(w.claims, c)
}
