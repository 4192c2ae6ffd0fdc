package compare

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

const seg = lsn.SegSize(1 << 20)

// wal is a history of bytes: from the position on they are those of a version, which are others than before.
type wal struct {
	version map[lsn.LSN]uint64 // by where it begins
}

// sum is as a hash of the bytes of at's segment up to at.
func (w *wal) sum(at lsn.LSN) uint64 {
	h := uint64(seg.Floor(at-1)) * 31
	for _, from := range slices.Sorted(func(yield func(lsn.LSN) bool) {
		for f := range w.version {
			if !yield(f) {
				return
			}
		}
	}) {
		if from < at {
			if from < seg.Floor(at-1) {
				h = uint64(seg.Floor(at-1))*31 + w.version[from] // all of the segment is of that version
			} else {
				h = h*1_000_003 + w.version[from] + uint64(from)
			}
		}
	}
	return h + uint64(at)
}

func printOf(w *wal, at lsn.LSN) lsn.Print { return lsn.Print{Timeline: 1, LSN: at, Sum: w.sum(at)} }

func own(w *wal, oldest, received, complete lsn.LSN) Local {
	return Local{
		Timeline: 1, Oldest: oldest, Received: received, Complete: complete, SegSize: seg,
		HashAt: func(_ lsn.TimelineID, at lsn.LSN) (uint64, bool) { return w.sum(at), at <= received },
	}
}

const s = lsn.LSN(seg)

func sealed(w *wal, ends ...lsn.LSN) (list []lsn.Print) {
	for _, n := range ends {
		list = append(list, printOf(w, n*s))
	}
	return list
}

func TestStep(t *testing.T) {
	same := &wal{}
	other := &wal{version: map[lsn.LSN]uint64{5*s + 100: 7}} // other bytes from there on
	for name, c := range map[string]struct {
		theirs             *wal
		oldest             lsn.LSN // theirs
		list               []lsn.Print
		reports            []lsn.LSN
		own                Local
		from, equal, other lsn.LSN
		asks               lsn.LSN
	}{
		"nothing was said":        {same, 0, nil, nil, own(same, 2*s, 5*s+500, 5*s+500), 0, 0, 0, 0},
		"a report, no list yet":   {same, 0, nil, []lsn.LSN{5*s + 400}, own(same, 2*s, 5*s+500, 5*s+500), 0, 0, 0, 0},
		"from the newest segment": {same, 2 * s, sealed(same, 3, 4, 5), []lsn.LSN{5*s + 400}, own(same, 2*s, 5*s+500, 5*s+500), 4 * s, 5*s + 400, 0, 0},
		"we are ahead":            {same, 2 * s, sealed(same, 3, 4), []lsn.LSN{4*s + 400}, own(same, 2*s, 8*s, 8*s), 3 * s, 4*s + 400, 0, 0},
		"it is ahead":             {same, 2 * s, sealed(same, 4, 5, 6), []lsn.LSN{6*s + 400}, own(same, 2*s, 5*s+500, 5*s+500), 4 * s, 5 * s, 0, 5*s + 500},
		"a gap":                   {same, 2 * s, sealed(same, 4), []lsn.LSN{6*s + 400}, own(same, 2*s, 6*s+500, 6*s+500), 3 * s, 4 * s, 0, 5 * s},
		"no common segment":       {same, 2 * s, sealed(same, 9), []lsn.LSN{9*s + 400}, own(same, 2*s, 5*s+500, 5*s+500), 0, 0, 0, 5 * s},
		"both have just begun":    {same, 5 * s, nil, []lsn.LSN{5*s + 400}, own(same, 5*s, 5*s+500, 5*s+500), 5 * s, 5*s + 400, 0, 0},
		"it has just begun":       {same, 5 * s, nil, []lsn.LSN{5*s + 400}, own(same, 2*s, 7*s, 7*s), 5 * s, 5*s + 400, 0, 0},
		"we have just begun":      {same, 2 * s, sealed(same, 3, 4, 5), []lsn.LSN{5*s + 400}, own(same, 5*s, 5*s+500, 5*s+500), 5 * s, 5*s + 400, 0, 0},
		"we begin beyond it":      {same, 2 * s, sealed(same, 3), []lsn.LSN{3*s + 400}, own(same, 5*s, 5*s+500, 5*s+500), 0, 0, 0, 0},
		"other bytes":             {other, 2 * s, sealed(other, 3, 4, 5), []lsn.LSN{5*s + 50, 5*s + 400}, own(same, 2*s, 5*s+500, 5*s+500), 4 * s, 5*s + 50, 5*s + 400, 5*s + 400},
		"other bytes, sealed":     {other, 2 * s, sealed(other, 4, 5, 6), []lsn.LSN{6*s + 400}, own(same, 2*s, 6*s+500, 6*s+500), 5 * s, 0, 6 * s, 6 * s},
		"in our last record":      {other, 2 * s, sealed(other, 4, 5), []lsn.LSN{5*s + 400}, own(same, 2*s, 5*s+500, 5*s+300), 4 * s, 5 * s, 0, 5*s + 300},
	} {
		p := &Peer{}
		for _, at := range c.reports {
			p.Report(printOf(c.theirs, at))
		}
		if c.oldest > 0 {
			p.List(c.oldest, c.list)
		}
		p.Step(c.own)
		p.Step(c.own)
		got := []lsn.LSN{p.From(), p.Equal(), p.Differs(), p.Asks(c.own)}
		want := []lsn.LSN{c.from, c.equal, c.other, c.asks}
		if !slices.Equal(got, want) {
			t.Errorf("%s: from, equal, differs, asks: %v, want %v", name, got, want)
		}
	}
}

// A difference stays over connections, and ends when the bytes are found equal or nobody has them.
func TestDifferenceStays(t *testing.T) {
	same, other := &wal{}, &wal{version: map[lsn.LSN]uint64{5*s + 100: 7}}
	o := own(same, 2*s, 6*s+500, 6*s+500)
	p := &Peer{}
	say := func(w *wal, oldest lsn.LSN) {
		p.List(oldest, sealed(w, 3, 4, 5, 6))
		p.Report(printOf(w, 6*s+400))
		p.Step(o)
		p.Step(o)
	}
	say(other, 2*s)
	for range 2 {
		if p.Differs() != 6*s || p.Equal() != lsn.Invalid {
			t.Fatalf("%+v", p)
		}
		p.Begin()
		say(other, 2*s)
	}
	p.Begin()
	p.List(2*s, sealed(other, 3, 4)) // it says nothing about where it differed
	p.Report(printOf(other, 6*s+400))
	if p.Step(o); p.Differs() != 6*s || p.Asks(o) != 6*s {
		t.Fatalf("%+v, asks %s", p, p.Asks(o))
	}
	q := *p
	if say(same, 2*s); p.Differs() != lsn.Invalid || p.Equal() != 6*s+400 {
		t.Errorf("the bytes are equal again: %+v", p)
	}
	p = &q
	o = own(same, 6*s, 6*s+500, 6*s+500)
	if say(same, 6*s); p.Differs() != lsn.Invalid || p.Equal() != 6*s+400 {
		t.Errorf("nobody has the others: %+v", p)
	}
}

// TestTimeline: on another timeline the comparison begins anew.
func TestTimeline(t *testing.T) {
	same := &wal{}
	o := own(same, 2*s, 5*s+500, 5*s+500)
	p := &Peer{}
	p.List(2*s, sealed(same, 4, 5))
	p.Report(printOf(same, 5*s+400))
	p.Step(o)
	ahead := printOf(same, 5*s+450)
	ahead.Timeline = 2
	p.Report(ahead)
	if p.Step(o); p.Equal() != 5*s+400 {
		t.Errorf("WAL of a timeline that is not ours yet: %s", p.Equal())
	}
	o.Timeline = 2
	if !p.Step(o) || p.Equal() != 5*s+450 {
		t.Errorf("%s", p.Equal())
	}
	p.Report(printOf(same, 5*s+460))
	if len(p.waiting) != 0 {
		t.Errorf("a print of a timeline that is left waits: %v", p.waiting)
	}
}

// TestBusyMember: one that is always ahead is compared all the same, and the last of it too; nothing grows.
func TestBusyMember(t *testing.T) {
	same := &wal{}
	p := &Peer{}
	p.List(2*s, sealed(same, 3))
	at := 3*s + 10
	for i := range 5000 {
		p.Report(printOf(same, at+1000))
		if len(p.waiting) > maxWaiting {
			t.Fatalf("%d wait", len(p.waiting))
		}
		if p.Step(own(same, 2*s, at, at)); i > 1000 && p.Equal() < at-1500 {
			t.Fatalf("at %s it is compared up to %s", at, p.Equal())
		}
		at += 10
	}
	p.Step(own(same, 2*s, at+1000, at+1000))
	if p.Equal() != at+1000-10 {
		t.Errorf("its last is not compared: %s of %s", p.Equal(), at+1000)
	}
}

// TestModel lets two stores of random histories hear each other late, incompletely, in any order and over several
// connections. Nothing that differs is ever called equal, nothing equal is called different, and in the end all is
// compared.
func TestModel(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		a, b := &wal{version: map[lsn.LSN]uint64{}}, &wal{version: map[lsn.LSN]uint64{}}
		forked := everywhere
		p := &Peer{}
		oldest, end, theirs := 2*s, 3*s, 3*s
		cold := map[lsn.LSN]bool{}
		o := func() Local {
			x := own(a, oldest, end, end)
			hash := x.HashAt
			x.HashAt = func(t lsn.TimelineID, at lsn.LSN) (uint64, bool) {
				if at%3 == 0 && !cold[at] {
					return 0, false
				}
				return hash(t, at)
			}
			return x
		}
		list := func() {
			var l []lsn.Print
			for at := seg.Floor(theirs); at > 2*s && len(l) < 3; at -= s {
				l = append(l, printOf(b, at))
			}
			if asks := p.Asks(o()); asks != lsn.Invalid && asks <= theirs {
				l = append(l, printOf(b, asks))
			}
			p.List(2*s, l)
		}
		look := func() {
			p.Step(o())
			for _, x := range slices.Clone(p.ToRead()) {
				cold[x.LSN] = true
				p.Again()
			}
			p.Step(o())
			if p.Equal() > min(forked, end, theirs) {
				t.Fatalf("seed %d: equal up to %s, forked at %s", seed, p.Equal(), forked)
			}
			if p.Differs() != lsn.Invalid && p.Differs() <= forked {
				t.Fatalf("seed %d: differs at %s, forked at %s", seed, p.Differs(), forked)
			}
		}
		for range 200 {
			switch rng.IntN(8) {
			case 0, 1:
				end += lsn.LSN(rng.Uint64N(uint64(s) / 3))
			case 2, 3:
				theirs += lsn.LSN(rng.Uint64N(uint64(s) / 3))
			case 4, 5:
				p.Report(printOf(b, theirs))
			case 6:
				if rng.IntN(3) == 0 {
					list()
				}
			case 7:
				switch rng.IntN(12) {
				case 0:
					p.Begin()
				case 1:
					if forked == everywhere && end > theirs { // it gets other WAL than we have
						forked = theirs
						b.version[theirs] = seed + 1
					}
				}
			}
			look()
		}
		end, theirs = max(end, theirs)+s+1, max(end, theirs)+s+1
		for range 20 {
			list()
			p.Report(printOf(b, theirs))
			look()
		}
		if same := forked == everywhere; same && p.Equal() != theirs || !same && p.Differs() == lsn.Invalid {
			t.Fatalf("seed %d: at last equal up to %s of %s, differs at %s, forked at %s", seed, p.Equal(), theirs, p.Differs(), forked)
		}
	}
}

const everywhere = lsn.LSN(1) << 62

func ExamplePeer() {
	w := &wal{}
	var p Peer
	p.List(2*s, sealed(w, 3))
	p.Report(printOf(w, 3*s+100))
	p.Step(own(w, 2*s, 3*s+100, 3*s+100))
	fmt.Println(p.From() == 2*s, p.Equal() == 3*s+100)
	// Output: true true
}

// A hash beyond this store's last complete record is not asked of the disk, and the comparison begins below it
// meanwhile.
func TestBeyondTheLastRecord(t *testing.T) {
	w, p := &wal{}, &Peer{}
	o := own(w, 2*s, 4*s+10, 4*s-50)
	o.HashAt = func(_ lsn.TimelineID, at lsn.LSN) (uint64, bool) { return w.sum(at), at == 3*s }
	p.Report(printOf(w, 4*s+10))
	p.List(2*s, sealed(w, 3, 4))
	p.Step(o)
	if p.Equal() != 3*s || len(p.ToRead()) != 0 {
		t.Errorf("equal up to %v, lacks %v", p.Equal(), p.ToRead())
	}
	o.Complete = o.Received
	p.Step(o)
	if !slices.Equal(p.ToRead(), []lsn.Print{printOf(w, 4*s)}) {
		t.Errorf("lacks %v", p.ToRead())
	}
}
