package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/cluster/ledger"
	"github.com/replproxy/replproxy/cluster/quorum"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// glue drives one real Node through random histories: acks, WAL, SIGHUPs, restarts with another rule. A save on its
// disk takes a while, fails, fails although it is done, or is cut by a crash. The simulation (cluster/sim) has a node
// of its own around the real ledger, whose saves are instants. Checked at each moment, which may be that of a crash:
//
//   - what is reported is covered by the rule in force, by the voters' disks;
//   - what a power loss left owed is no vote;
//   - nothing is reported after a fence, over any crash;
//   - what was ever reported is held as one of the rules says that the file has: a promotion is proven by those.
type glue struct {
	rng    *rand.Rand
	dir    string
	broken string
	n      *Node
	store  *fakeStore
	ids    map[string]uint64
	disks  map[string]lsn.LSN // flushed, for ever; this node's store under its name
	disk   []byte             // the file
	wanted vote.RuleText      // the configuration
	said   lsn.Progress       // on this connection
	ever   map[lsn.LSN]bool
	dead   bool // it crashed within a save
	fenced bool // and it has said so
	bad    error
	steps  []string
}

var (
	glueVoters = []string{"s1", "s2", "s3"}
	glueRules  = []string{
		"ANY 1 (s1, s2, s3)", "ANY 2 (s1, s2, s3)", "ANY 3 (s1, s2, s3)", "FIRST 1 (s1, s2)", "FIRST 2 (s3, s1, s2)",
		"ANY 1 (a, s1)", "ANY 2 (a, s2)", "s3", "",
	}
	errDisk = errors.New("input/output error")
)

func (g *glue) log(format string, args ...any) {
	g.steps = append(g.steps, fmt.Sprintf(format, args...))
}

func (g *glue) fail(format string, args ...any) {
	if g.bad == nil {
		g.bad = fmt.Errorf(format, args...)
	}
}

// start is the beginning of a process.
func (g *glue) start() {
	if g.disk != nil {
		if err := os.WriteFile(filepath.Join(g.dir, memoryFile), g.disk, 0o600); err != nil {
			g.fail("%v", err)
			return
		}
	}
	n, err := New(Options{Name: "a", Rule: g.wanted, Store: g.store, Dir: g.dir})
	if err != nil {
		g.fail("start: %v", err)
		return
	}
	g.n, g.dead, g.said, g.ids, g.disk = n, false, lsn.Progress{}, map[string]uint64{}, n.saved
	n.save = g.save
	for _, name := range glueVoters {
		g.ids[name] = n.Attach(name)
	}
	g.log("starts with %q", g.wanted.Names)
	g.look()
}

// save is the disk: it takes a while, in which the world goes on, and it fails in all ways.
func (g *glue) save(b []byte) error {
	if g.broken == "nothing is withheld meanwhile" {
		g.n.mu.Lock()
		g.n.coming = vote.Rule{}
		g.n.mu.Unlock()
	}
	meanwhile := func() {
		for range g.rng.IntN(12) {
			g.flow()
		}
	}
	meanwhile()
	done := g.rng.IntN(4) > 0
	if done {
		g.disk = b
	}
	g.look()
	meanwhile()
	switch fate := g.rng.IntN(6); {
	case fate == 0:
		g.dead = true
		g.log("crashes in a save, done %v", done)
		return errDisk
	case fate == 1 || !done:
		g.log("a save fails, done %v", done)
		return errDisk
	}
	g.log("a save is done")
	return nil
}

// flow plays the normal work: WAL comes, is flushed and acknowledged, and the reporter looks.
func (g *glue) flow() {
	if g.dead {
		return
	}
	switch p := g.store.Positions(); g.rng.IntN(4) {
	case 0:
		p.Received += lsn.LSN(g.rng.IntN(3))
		g.store.set(p)
	case 1:
		p.Written = p.Received
		p.Flushed += lsn.LSN(g.rng.IntN(int(p.Received-p.Flushed) + 1))
		if g.disks["a"] = p.Flushed; p.Flushed >= p.Owed {
			p.Owed = 0 // it came again
		}
		g.store.set(p)
	default:
		name := glueVoters[g.rng.IntN(len(glueVoters))]
		if at := g.disks[name] + lsn.LSN(g.rng.IntN(4)); at <= p.Received {
			g.disks[name] = at
		}
		report(g.n, g.ids[name], 1, g.disks[name])
	}
	g.report()
	g.look()
}

// report is the walreceiver.
func (g *glue) report() {
	limits, _ := g.n.Reportable()
	p := g.store.Positions()
	flush := max(g.said.Flush, min(limits.Flush, p.Flushed))
	if flush == g.said.Flush {
		return
	}
	if g.fenced {
		g.fail("%v is reported after a fence", flush)
	}
	g.said.Flush = flush
	g.ever[flush] = true
	g.log("reports %v, disks %v", flush, g.disks)
	g.n.mu.Lock()
	rule := g.n.ledger.State().Rule
	g.n.mu.Unlock()
	if !g.holds(rule.RuleText, flush) {
		g.fail("%v is reported under %q, the disks are %v", flush, rule.Names, g.disks)
	}
}

// holds counts disks. Without a rule this node's is all that is asked for.
func (g *glue) holds(d vote.RuleText, at lsn.LSN) bool {
	parsed, err := ledger.Parse(d)
	if err != nil {
		g.fail("%v", err)
		return true
	}
	n := 0
	for name, flushed := range g.disks {
		v := quorum.Voter{Name: name, Store: name == "a"}
		if flushed >= at && quorum.Priority(parsed.Names, v) > 0 {
			n++
		}
	}
	return n >= int(parsed.Names.Count) && g.disks["a"] >= at
}

// look holds all that was ever reported to what the file says now.
func (g *glue) look() {
	v, err := vote.Decode(g.disk[:len(g.disk)-4], 1)
	s, ok := v.(vote.State)
	if err != nil || !ok {
		g.fail("the file: %v", err)
		return
	}
	texts := []vote.RuleText{s.Rule.RuleText}
	if unestablished(s.Rule) {
		texts = append(texts, s.Rule.Before)
	}
	for at := range g.ever {
		held := false
		for _, d := range texts {
			held = held || g.holds(d, at)
		}
		if !held {
			g.fail("%v was reported; the file has %+v, the disks are %v", at, s.Rule, g.disks)
		}
	}
}

// run plays one seed.
func (g *glue) run(steps int) error {
	g.start()
	for range steps {
		if g.bad != nil {
			break
		}
		switch g.rng.IntN(12) {
		case 0:
			g.wanted.Names = glueRules[g.rng.IntN(len(glueRules))]
			err := g.n.SetRule(g.wanted)
			g.log("SIGHUP with %q: %v", g.wanted.Names, err)
			if g.broken == "settled at once" {
				g.n.establishing = false
			}
		case 1, 2:
			select {
			case <-g.n.toSave:
				g.n.saveKnown()
			default:
			}
		case 3:
			if g.rng.IntN(4) == 0 {
				if g.rng.IntN(2) == 0 { // while it was down its configuration was changed
					g.wanted.Names = glueRules[g.rng.IntN(len(glueRules))]
				}
				g.dead = true
			}
		case 4:
			if g.rng.IntN(60) == 0 {
				ctx, cancel := context.WithCancel(context.Background())
				cancel() // whether all is flushed is not what is asked
				_, err := g.n.Fence(ctx, 1)
				g.fenced = !errors.Is(err, errDisk)
				g.log("fence: %v", err)
			}
		default:
			g.flow()
		}
		if g.dead && g.bad == nil {
			p := g.store.Positions()
			g.powerLoss(p)
			g.start()
		}
	}
	return g.bad
}

// powerLoss leaves the flushed WAL only. The mark was ahead of it by some of what was being flushed.
func (g *glue) powerLoss(p Positions) {
	p.Owed = max(p.Owed, p.Flushed+lsn.LSN(g.rng.IntN(int(p.Received-p.Flushed)+1)))
	p.Received, p.Written = p.Flushed, p.Flushed
	if g.broken == "what is owed is voted for" {
		p.Received, p.Written, p.Flushed = p.Owed, p.Owed, p.Owed
	}
	if p.Owed == p.Flushed {
		p.Owed = 0
	}
	g.store.set(p)
}

func (s *fakeStore) set(p Positions) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.p = p
}

func newGlue(t *testing.T, seed uint64, broken string) *glue {
	t.Helper()
	g := &glue{
		rng: rand.New(rand.NewPCG(seed, 4)), dir: t.TempDir(), broken: broken, store: newFakeStore(10),
		disks: map[string]lsn.LSN{"a": 10, "s1": 10, "s2": 10, "s3": 10}, ever: map[lsn.LSN]bool{},
	}
	g.wanted.Names = glueRules[g.rng.IntN(len(glueRules))]
	return g
}

const glueSeeds = 30

// TestGlue plays seeds, and shows that what is left out of the node is found.
func TestGlue(t *testing.T) {
	t.Parallel()
	reports := 0
	for seed := range uint64(glueSeeds) {
		g := newGlue(t, seed, "")
		if err := g.run(400); err != nil {
			t.Fatalf("seed %d: %v\n%v", seed, err, g.steps[max(0, len(g.steps)-40):])
		}
		reports += len(g.ever)
	}
	if reports < 500 {
		t.Errorf("only %d positions were reported", reports)
	}
	for _, broken := range []string{"nothing is withheld meanwhile", "settled at once", "what is owed is voted for"} {
		found := false
		for seed := uint64(0); seed < glueSeeds && !found; seed++ {
			err := newGlue(t, seed, broken).run(400)
			if found = err != nil; found {
				t.Logf("%s, seed %d: %v", broken, seed, err)
			}
		}
		if !found {
			t.Errorf("not found: %s", broken)
		}
	}
}
