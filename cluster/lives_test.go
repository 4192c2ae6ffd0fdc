package cluster

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/replproxy/replproxy/cluster/identity/identitytest"
	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/internal/nudge"
)

// runLinked runs nodes and their links until the function that it returns.
func runLinked(ctx context.Context, all ...*linked) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, x := range all {
		running.Go(func() { _ = x.Run(ctx) })
		running.Go(func() { _ = x.listener.Run(ctx) })
		running.Go(func() { _ = x.link.Run(ctx) })
	}
	return func() { cancel(); running.Wait() }
}

const knownRule = "ANY 1 (s2)"

// livesPair are nodes a and b with links; b has dir. a remembers, over a restart, that b was there with boot.
func livesPair(t *testing.T, boot uint64, dir string, change func(*Options)) (a, b *linked) {
	t.Helper()
	ida, idb := identitytest.Node(t, "a"), identitytest.Node(t, "b")
	m := identitytest.Members(t, ida, idb)
	short := func(o *Options) { o.Timeout = 2 * time.Second }
	home := func(o *Options) { o.Dir = dir + "/a" }
	a = newLinked(t, ida, m, "b", knownRule, link.Newest, short, home)
	if boot > 0 {
		s := vote.State{Node: "b", Boot: boot, Seq: 1, Rule: vote.Rule{Generation: 1, Established: true}}
		s.Rule.Names = knownRule
		hears(t, a.Node, "b", s)
		a.saveKnown()
		a = newLinked(t, ida, m, "b", knownRule, link.Newest, short, home)
	}
	b = newLinked(t, idb, m, "a", knownRule, link.Newest, short, func(o *Options) { o.Dir = dir + "/b" }, change)
	*a.book = []link.Peer{{Name: "b", Addr: b.listener.Addr().String()}}
	*b.book = []link.Peer{{Name: "a", Addr: a.listener.Addr().String()}}
	return a, b
}

// A member whose clock was once years ahead comes back with an older copy of its data_dir. It counts again by a boot
// number that nobody has used, whatever the clocks say.
func TestOldCopyCountsAgain(t *testing.T) {
	dir, years := t.TempDir(), uint64(time.Now().AddDate(10, 0, 0).UnixMicro())
	b0, err := encode(vote.State{Node: "b", Boot: uint64(time.Now().AddDate(0, -1, 0).UnixMicro())})
	if err == nil {
		err = memory(dir + "/b").save(b0)
	}
	if err != nil {
		t.Fatal(err)
	}
	a, b := livesPair(t, years, dir, func(*Options) {})
	defer runLinked(t.Context(), a, b)()
	report(b.Node, b.Attach("s2"), 1, 80)
	waitUntil(t, a, func() bool { p, _ := a.Reportable(); return p.Flush == 80 })
	if was, err := memory(dir + "/b").load(); err != nil || was.Boot != years+1 {
		t.Errorf("boot %d after %d, %v", was.Boot, years, err)
	}
}

// A node that is new under a name that another member knows ends before it has had a vote.
func TestNewNodeOfAKnownName(t *testing.T) {
	a, b := livesPair(t, 7, t.TempDir(), func(o *Options) { o.New = true })
	defer runLinked(t.Context(), a)()
	ctx, cancel := context.WithCancel(t.Context())
	var links sync.WaitGroup
	links.Go(func() { _ = b.listener.Run(ctx) })
	links.Go(func() { _ = b.link.Run(ctx) })
	defer func() { cancel(); links.Wait() }()
	report(b.Node, b.Attach("s2"), 1, 80)
	if err := b.Run(ctx); !errors.Is(err, ErrKnown) {
		t.Errorf("%v", err)
	}
	wantLimits(t, a.Node, 0, 0, 0)
	wantLimits(t, b.Node, 0, 0, 0)
}

// A node that is new waits for one answer, then counts; that it is not new any more is noted when all have answered.
func TestNewNode(t *testing.T) {
	var noted atomic.Bool
	a, b := livesPair(t, 0, t.TempDir(), func(o *Options) {
		o.New, o.Proven = true, func() error { noted.Store(true); return nil }
	})
	report(b.Node, b.Attach("s2"), 1, 80)
	hears(t, b.Node, "a", stateOf("a", knownRule, 1))
	wantLimits(t, b.Node, 0, 0, 0)
	defer runLinked(t.Context(), a, b)()
	waitUntil(t, a, func() bool { p, _ := a.Reportable(); return p.Flush == 80 })
	waitUntil(t, b, noted.Load)
}

// TestLivesRule: what a node does about what the others know of it.
func TestLivesRule(t *testing.T) {
	own := vote.Life{Node: "b", Key: 1, Boot: 5, Run: 9}
	life := func(key, boot, run uint64, lives bool) vote.Life {
		return vote.Life{Node: "b", Key: key, Boot: boot, Run: run, Lives: lives}
	}
	for name, c := range map[string]struct {
		isNew   bool
		answers []vote.Life
		want    startCheck
	}{
		"nobody knows it":               {true, []vote.Life{{}, {}}, startCheck{}},
		"itself":                        {false, []vote.Life{life(1, 5, 9, true)}, startCheck{}},
		"its start before":              {false, []vote.Life{life(1, 4, 3, true)}, startCheck{}},
		"new, its start before":         {true, []vote.Life{life(1, 4, 3, false)}, startCheck{}},
		"new, another key":              {true, []vote.Life{{}, life(2, 4, 3, false)}, startCheck{refused: "1"}},
		"new, of release v0.1.0":        {true, []vote.Life{life(0, 4, 0, false)}, startCheck{refused: "0"}},
		"new, the memory is lost":       {true, []vote.Life{life(1, 5, 3, false)}, startCheck{refused: "0"}},
		"new, forgotten by an operator": {true, []vote.Life{life(2, 0, 0, false)}, startCheck{refused: "0"}},
		"a copy":                        {false, []vote.Life{life(1, 5, 3, false), life(1, 8, 4, false)}, startCheck{boot: 9}},
		"a copy, of release v0.1.0":     {false, []vote.Life{life(0, 8, 0, false)}, startCheck{boot: 9}},
		"a copy of one that lives":      {false, []vote.Life{life(1, 5, 3, true)}, startCheck{clash: "0"}},
	} {
		l := newLives(nil, nil)
		for i, x := range c.answers {
			l.answers[strconv.Itoa(i)] = x
		}
		if got := l.check(own, c.isNew); got != c.want {
			t.Errorf("%s: %+v, expected %+v", name, got, c.want)
		}
	}
}

// A node that is new while each other member is gone is let in by an operator's word, which a start after it keeps.
func TestNewNodeForgets(t *testing.T) {
	dir := t.TempDir()
	for _, forgets := range []bool{true, false} {
		noted := nudge.New()
		n, err := New(Options{
			Name: "a", Members: []string{"b"}, Rule: vote.RuleText{Names: knownRule}, Store: newFakeStore(100), Dir: dir,
			New: true, Proven: func() error { noted.Wake(); return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = n.Run(ctx) })
		defer func() { cancel(); running.Wait() }()
		report(n, n.Attach("s2"), 1, 80)
		if forgets {
			wantLimits(t, n, 0, 0, 0)
			if err := n.Forget("b"); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-noted:
		case <-time.After(time.Minute):
			t.Fatalf("forgets %v: it is never taken for proven", forgets)
		}
		wantLimits(t, n, 80, 80, 80)
	}
}
