package puller

import (
	"slices"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// someReports reports whether what some member may report moves.
func (w *world) someReports() bool {
	return slices.ContainsFunc(w.nodes, func(n *node) bool {
		i := w.index(n.name)
		return !w.fenced[i] && !w.deafened[i] && !w.dead[i]
	})
}

// A puller that may not report, or whose report stands, has commits wait although others cover more. One of them takes
// over; there is no moment in which nobody pulls. It keeps the primary when the one before can report again.
func TestPullerThatMayNotReport(t *testing.T) {
	for what, held := range map[string]func(w *world, i int){
		"fenced": func(w *world, i int) { w.fenced[i] = true }, "deafened": func(w *world, i int) { w.deafened[i] = true },
	} {
		for n := 2; n <= 5; n++ {
			w := newWorld(n)
			w.run(10 * time.Second)
			was := w.index(w.pullers()[0])
			held(w, was)
			began := w.now
			for w.now.Sub(began) < 20*time.Second {
				if w.tick(); len(w.pullers()) == 0 {
					t.Fatalf("%s, %d members: nobody pulls after %s", what, n, w.now.Sub(began))
				}
			}
			took := w.pullers()
			if len(took) != 1 || w.index(took[0]) == was {
				t.Errorf("%s, %d members: %q pull, %s did before", what, n, took, w.nodes[was].name)
			}
			for i := range w.nodes {
				if !w.reached(i, 0) {
					t.Errorf("%s, %d members: %s gets no WAL: %+v", what, n, w.nodes[i].name, w.nodes[i].choice)
				}
			}
			clear(w.fenced)
			clear(w.deafened)
			w.run(2 * detour)
			if got := w.pullers(); !slices.Equal(got, took) {
				t.Errorf("%s, %d members: %q pull later, and %q before", what, n, got, took)
			}
		}
	}
}

// Where nobody covers more, or could stream, or says what it covers, everybody stays.
func TestNobodyCoversMore(t *testing.T) {
	for name, hinder := range map[string]func(w *world, i int){
		"all are fenced":                func(w *world, i int) { w.fenced[i] = true },
		"nobody hears the voters":       func(w *world, i int) { w.deafened[i] = true },
		"nobody else reaches":           func(w *world, i int) { w.cut[[2]int{i, w.primary()}] = true },
		"all others are full":           func(w *world, i int) { w.full[i] = w.now },
		"the primary is silent to them": func(w *world, i int) { w.mute[i] = w.now },
		"nothing is wrong":              func(w *world, _ int) { clear(w.deafened) },
	} {
		w := newWorld(3)
		w.run(10 * time.Second)
		was := w.index(w.pullers()[0])
		w.deafened[was] = true
		for i := range w.nodes {
			if i != was {
				hinder(w, i)
			} else if name == "all are fenced" {
				w.fenced[i] = true
			}
		}
		for end := w.now.Add(2 * time.Minute); w.now.Before(end); {
			w.tick()
			if got := w.pullers(); !slices.Equal(got, []string{w.nodes[was].name}) {
				t.Fatalf("%s: %q pull, not %s", name, got, w.nodes[was].name)
			}
		}
	}
	w := newWorld(2)
	for _, n := range w.nodes {
		n.silent = true
	}
	w.run(10 * time.Second)
	was := w.pullers()
	w.fenced[w.index(was[0])] = true
	if w.run(time.Minute); !slices.Equal(w.pullers(), was) {
		t.Errorf("%q pull, not %q, which say nothing of what they cover", w.pullers(), was)
	}
}

// Two members whose reports stand in turn do not change to and fro: each takes over once in a detour at most.
func TestReportsThatStandInTurn(t *testing.T) {
	for _, turns := range []time.Duration{5 * time.Second, 12 * time.Second, 20 * time.Second} {
		w := newWorld(3)
		w.run(10 * time.Second)
		first := w.index(w.pullers()[0])
		changes, was, length := 0, first, 4*time.Minute
		for n := range int(length / step) {
			other := n/int(turns/step)%2 == 1
			w.deafened[first], w.deafened[(first+1)%3], w.deafened[(first+2)%3] = !other, other, true
			w.tick()
			if got := w.pullers(); len(got) == 1 && w.index(got[0]) != was {
				was = w.index(got[0])
				changes++
			}
		}
		if most := 2 * int(length/detour); changes > most {
			t.Errorf("%d changes in %s, of reports that stand for %s in turn", changes, length, turns)
		}
	}
}

// A lag begins when the other one has not reached for lagAfter what this one covered, and is over when it has.
func TestLag(t *testing.T) {
	at := time.Unix(1e9, 0)
	type look struct {
		after      time.Duration
		goal, here lsn.LSN
		comparable bool
	}
	for name, c := range map[string]struct {
		looks []look
		want  bool
	}{
		"it stands":                    {[]look{{0, 10, 5, true}, {lagAfter, 10, 5, true}}, true},
		"for too short a time":         {[]look{{0, 10, 5, true}, {lagAfter - 1, 10, 5, true}}, false},
		"it is behind, and moves":      {[]look{{0, 10, 5, true}, {lagAfter - 1, 20, 10, true}, {lagAfter - 1, 30, 15, true}}, false},
		"it moves, and never so far":   {[]look{{0, 10, 5, true}, {time.Second, 20, 6, true}, {lagAfter, 30, 7, true}}, true},
		"it covers nothing":            {[]look{{0, 10, 0, true}, {lagAfter, 10, 0, true}}, true},
		"neither covers anything":      {[]look{{0, 0, 0, true}, {lagAfter, 0, 0, true}}, false},
		"it has caught up":             {[]look{{0, 10, 5, true}, {lagAfter, 10, 5, true}, {time.Second, 20, 10, true}}, false},
		"nobody could compare":         {[]look{{0, 10, 5, true}, {lagAfter - 1, 10, 5, false}, {1, 10, 5, true}}, false},
		"its stream is made anew":      {[]look{{0, 10, 5, true}, {lagAfter, 10, 5, true}, {1, 0, 0, false}, {1, 11, 5, true}}, true},
		"the other covers no more":     {[]look{{0, 10, 5, true}, {lagAfter, 10, 5, true}, {time.Second, 0, 5, true}}, true},
		"and so for long":              {[]look{{0, 10, 5, true}, {lagAfter, 10, 5, true}, {lagAfter, 0, 5, true}}, false},
		"what this one covered is not": {[]look{{0, 10, 5, true}, {time.Second, 0, 5, true}, {lagAfter, 10, 5, true}}, false},
	} {
		var g lag
		now := at
		for _, l := range c.looks {
			now = now.Add(l.after)
			g.step(now, l.goal, l.here, l.comparable)
		}
		if g.lags != c.want {
			t.Errorf("%s: %+v", name, g)
		}
	}
}

// A member leaves one that covers less than itself for one that does not, at once. Those that cover less go to the
// primary last.
func TestLaggingIsLast(t *testing.T) {
	now := time.Unix(1e9, 0)
	for _, self := range []string{"a", "b", "c"} {
		c := NewCore(self, now)
		v := View{System: 7, Reaches: true, Streaming: true, Covers: 10}
		for _, name := range []string{"a", "b", "c"} {
			if name != self {
				v.Peers = append(v.Peers, Peer{Name: name, Live: true, Reaches: true, Tells: true, Covers: 10})
			}
		}
		first := &v.Peers[0]
		first.Pulls, first.Covers = true, 0
		c.choose(now, Choice{true, first.Name})
		c.Step(now, v)
		if got := c.Step(now.Add(lagAfter-1), v); got.Member != first.Name {
			t.Errorf("%s leaves %s too early: %+v", self, first.Name, got)
		}
		v.Peers[1].Pulls = true
		if got := c.Step(now.Add(lagAfter), v); got.Member != v.Peers[1].Name {
			t.Errorf("%s stays with %s, which covers less: %+v", self, first.Name, got)
		}
		if v.Peers = v.Peers[:1]; c.place(v) != 0 {
			t.Errorf("%s goes to the primary after %s, which covers less", self, first.Name)
		}
		first.Covers, v.Covers = 10, 0
		c.Step(now.Add(lagAfter), v)
		if c.Step(now.Add(2*lagAfter), v); c.place(v) != 1 {
			t.Errorf("%s covers less, and goes to the primary before %s", self, first.Name)
		}
	}
}
