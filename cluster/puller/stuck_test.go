package puller

import (
	"slices"
	"testing"
	"time"
)

// A puller whose disk takes nothing reports nothing, so that no commit gets through. It leaves the primary to a member
// that reaches it, and there is no moment in which nobody pulls. When it has space again nothing changes.
func TestStuckPuller(t *testing.T) {
	for n := 2; n <= 5; n++ {
		w := newWorld(n)
		w.run(10 * time.Second)
		was := w.index(w.pullers()[0])
		w.full[was] = w.now
		for end := w.now.Add(15 * time.Second); w.now.Before(end); {
			if w.tick(); len(w.pullers()) == 0 {
				t.Fatalf("%d members: nobody pulls %s after the disk was full", n, w.now.Sub(w.full[was]))
			}
		}
		took := w.pullers()
		for i := range w.nodes {
			if i != was && !w.reached(i, 0) {
				t.Errorf("%d members: %s gets no WAL 15 s after the disk was full: %+v", n, w.nodes[i].name, w.nodes[i].choice)
			}
		}
		delete(w.full, was)
		w.run(2 * detour)
		if got := w.pullers(); len(took) != 1 || !slices.Equal(got, took) {
			t.Errorf("%d members: %q pulled, and %q when there was space", n, took, got)
		}
	}
}

// Where nobody else could do better everybody stays: nobody else has space, or reaches the primary.
func TestNobodyRelievesTheStuck(t *testing.T) {
	for name, hinder := range map[string]func(w *world, i int){
		"all are full":                  func(w *world, i int) { w.full[i] = w.now },
		"nobody else reaches":           func(w *world, i int) { w.cut[[2]int{i, w.primary()}] = true },
		"the primary is silent to them": func(w *world, i int) { w.mute[i] = w.now },
	} {
		w := newWorld(3)
		w.run(10 * time.Second)
		was := w.index(w.pullers()[0])
		for i := range w.nodes {
			if i == was {
				w.full[i] = w.now
			} else {
				hinder(w, i)
			}
		}
		for end := w.now.Add(2 * time.Minute); w.now.Before(end); {
			w.tick()
			for i, n := range w.nodes {
				want := Choice{true, w.nodes[was].name}
				if i == was {
					want = Choice{Known: true}
				}
				if n.choice != want {
					t.Fatalf("%s: %s chose %s, not %s", name, n.name, n.choice, want)
				}
			}
		}
	}
}

// A member leaves one that is stuck for one that is not, at once. Where nobody pulls, those that are stuck come last.
func TestStuckIsLast(t *testing.T) {
	for _, self := range []string{"a", "b", "c"} {
		now := time.Unix(1e9, 0)
		c := NewCore(self, now)
		var v View
		for _, name := range []string{"a", "b", "c"} {
			if name != self {
				v.Peers = append(v.Peers, Peer{Name: name, Live: true})
			}
		}
		v.Stuck = true
		now = now.Add(introduction)
		if c.Step(now, v); c.choice.Known || c.place(View{Stuck: true, Peers: v.Peers}) != 2 {
			t.Errorf("%s is stuck and goes to the primary before others", self)
		}
		v.Stuck, v.Peers[0].Stuck, v.Peers[1].Stuck = false, true, true
		now = now.Add(convalescence)
		if !c.Step(now, v).Primary() {
			t.Errorf("%s waits for those that are stuck", self)
		}
		c.choose(now, Choice{true, v.Peers[0].Name})
		v.Peers[0].Pulls, v.Peers[1].Pulls, v.Peers[1].Stuck = true, true, false
		if got := c.Step(now, v); got.Member != v.Peers[1].Name {
			t.Errorf("%s stays with %s, which is stuck: %+v", self, v.Peers[0].Name, got)
		}
	}
}

// A member that says it is connected to the primary, and gets no stream from there, does not try again and again to
// relieve the stuck one.
func TestFailedRelief(t *testing.T) {
	now := time.Unix(1e9, 0)
	c := NewCore("a", now)
	v := View{System: 7, Reaches: true, Streaming: true, Peers: []Peer{{Name: "b", Live: true, Pulls: true, Stuck: true}}}
	tries := 0
	for range int(time.Minute / step) {
		was := c.choice
		if now = now.Add(step); c.Step(now, v).Primary() && !was.Primary() {
			tries++
		}
		v.Streaming = !c.choice.Primary()
	}
	if tries != 2 {
		t.Errorf("tried %d times in a minute", tries)
	}
}

// Disks that hang every now and then do not have the members change to and fro: whoever took over stays.
func TestDisksThatHang(t *testing.T) {
	for i := range 3 {
		for hangs := 4 * time.Second; hangs < 6*time.Second; hangs += step {
			w := newWorld(3)
			w.run(10 * time.Second)
			changes := 0
			for turns := range 20 * int(20*time.Second/step) {
				switch turns % int(20*time.Second/step) {
				case 0:
					w.full[i] = w.now
				case int(hangs / step):
					delete(w.full, i)
				}
				var was []Choice
				for _, n := range w.nodes {
					was = append(was, n.choice)
				}
				w.tick()
				for j, n := range w.nodes {
					if n.choice != was[j] {
						changes++
					}
				}
			}
			if changes > 2*len(w.nodes) {
				t.Errorf("%d changes while the disk of %s hangs for %s again and again", changes, w.nodes[i].name, hangs)
			}
		}
	}
}

// A good stream from the primary is not given up for somebody who is stuck, or hears nothing, whatever their ranks.
func TestPoorPullersAreNotFollowed(t *testing.T) {
	bad := map[string]func(*Peer){
		"stuck": func(p *Peer) { p.Stuck = true }, "silent": func(p *Peer) { p.Silent = true },
	}
	for what, spoil := range bad {
		for _, names := range [][2]string{{"a", "b"}, {"b", "a"}} {
			now := time.Unix(1e9, 0)
			c := NewCore(names[0], now)
			c.choose(now, Choice{Known: true})
			peer := Peer{Name: names[1], Live: true, Pulls: true, Reaches: true}
			spoil(&peer)
			if got := c.Step(now, View{System: 7, Streaming: true, Reaches: true, Peers: []Peer{peer}}); !got.Primary() {
				t.Errorf("%s leaves the primary for %s, which is %s", names[0], names[1], what)
			}
			peer.Stuck, peer.Silent = false, false
			v := View{System: 7, Streaming: true, Reaches: true, Peers: []Peer{peer}}
			if v.Silent, v.Stuck = what == "silent", what == "stuck"; c.Step(now, v).Primary() {
				t.Errorf("%s is %s and does not follow %s", names[0], what, names[1])
			}
		}
	}
}

// A stream from the primary that is dead without a word, while a new one would work, as after a NAT has forgotten it, is
// not waited for. Another member streams within 15 s, and goes on.
func TestDeadStreamOfThePuller(t *testing.T) {
	for n := 2; n <= 5; n++ {
		w := newWorld(n)
		w.run(10 * time.Second)
		was := w.index(w.pullers()[0])
		w.deaf[was] = w.now
		w.run(15 * time.Second)
		took := w.pullers()
		for i := range w.nodes {
			if !w.reached(i, 0) {
				t.Errorf("%d members: %s gets no WAL 15 s after: %+v", n, w.nodes[i].name, w.nodes[i].choice)
			}
		}
		w.run(2 * detour)
		if got := w.pullers(); len(took) != 1 || !slices.Equal(got, took) || w.index(took[0]) == was {
			t.Errorf("%d members: %q pulled, and %q later; %s did before", n, took, got, w.nodes[was].name)
		}
	}
}

// A primary that says nothing to anybody for a while, and then goes on, finds the same puller.
func TestPrimaryStandsStill(t *testing.T) {
	w := newWorld(3)
	w.run(10 * time.Second)
	was := w.pullers()
	for i := range w.nodes {
		w.mute[i] = w.now
	}
	w.run(20 * time.Second)
	clear(w.mute)
	for range int(30 * time.Second / step) {
		if w.tick(); !slices.Equal(w.pullers(), was) {
			t.Fatalf("%q pull, not %q", w.pullers(), was)
		}
	}
}

// What the puller says comes a moment after the primary is back: until then its stream seems dead.
func TestPrimaryIsBackBeforeThePullerSaysSo(t *testing.T) {
	now := time.Unix(1e9, 0)
	c := NewCore("a", now)
	c.choose(now, Choice{true, "b"})
	for s := range 20 {
		v := View{System: 7, Streaming: true, Reaches: s >= 10}
		v.Peers = []Peer{{Name: "b", Live: true, Pulls: true, Silent: s < 12, Deaf: s < 12}}
		if got := c.Step(now.Add(time.Duration(s)*time.Second), v); got.Member != "b" {
			t.Fatalf("after %d s: %s", s, got)
		}
	}
}
