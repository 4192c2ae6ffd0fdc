package compare

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

const (
	tailKept   = s / 2 // of the newest WAL the hash at each position is in memory
	sealedKept = 6     // and of so many segments that at their ends
	listed     = 4
	stories    = 4000
)

// storedWAL is a store whose bytes are others from parting on.
type storedWAL struct {
	oldest, received, complete, parting lsn.LSN
	keeps                               lsn.LSN
	torn                                bool // received ends in bytes that are replaced once the record is complete
}

func (w *storedWAL) sum(at lsn.LSN) uint64 {
	switch {
	case w.torn && at > w.complete:
		return uint64(at)<<2 | 2
	case at > w.parting:
		return uint64(at)<<2 | 1
	}
	return uint64(at) << 2
}

// onDisk and inMemory report whether the store has the hash at a position, as a store has it that removes old segments.
func (w *storedWAL) onDisk(at lsn.LSN) bool {
	return at <= w.received && at > w.oldest && seg.Floor(at-1) >= w.oldest
}

func (w *storedWAL) inMemory(at lsn.LSN) bool {
	return at <= w.received && (at+tailKept > w.received || seg.IsStart(at) && at+sealedKept*s > w.received)
}

// told is a story of this node's store and a member's. What the member says comes late, and in order.
type told struct {
	*testing.T
	rng         *rand.Rand
	ends        []lsn.LSN // of records
	own, theirs storedWAL
	p           Peer
	read        map[lsn.LSN]bool // own hashes that were read from the disk
	asked       lsn.LSN
	says        []func() // what the member has said, and is not heard yet
	honest      bool
	kept, anew  int
}

// TestStories compares stores that grow, remove old segments, begin anew and part, over connections that end. Whatever
// happens:
//
//   - what differs is never called equal, and nothing equal is called different
//   - Equal falls with a new connection only, or where other bytes are found
//   - in the end all is compared that both have, and what lies before it as far as hashes in memory join
//
// A story is told again by its seed: go test -run 'TestStories/^68$' ./cluster/compare
func TestStories(t *testing.T) {
	all, kept, anew := 0, 0, 0
	for seed := range uint64(stories) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			w := &told{
				T: t, rng: rand.New(rand.NewPCG(seed, 7)), ends: []lsn.LSN{2 * s}, read: map[lsn.LSN]bool{}, honest: true,
			}
			w.tell()
			all, kept, anew = all+1, kept+w.kept, anew+w.anew
		})
	}
	if all == stories && (kept == 0 || anew == 0) {
		t.Errorf("%d were compared behind our store's beginning, %d began anew", kept, anew)
	}
}

func (w *told) tell() {
	for range 70 {
		long := lsn.LSN(w.rng.IntN(300_000))
		if w.rng.IntN(9) == 0 {
			long *= 10
		}
		w.ends = append(w.ends, w.ends[len(w.ends)-1]+100+long)
	}
	for _, x := range []*storedWAL{&w.own, &w.theirs} {
		*x = storedWAL{oldest: 2 * s, received: 2 * s, complete: 2 * s, parting: everywhere}
		x.keeps = []lsn.LSN{0, s, 4 * s, everywhere}[w.rng.IntN(4)]
	}
	for range 150 {
		switch w.rng.IntN(13) {
		case 0, 1, 2:
			w.grow(&w.own, w.own.received+lsn.LSN(w.rng.IntN(1<<20)))
		case 3, 4, 5:
			w.grow(&w.theirs, w.theirs.received+lsn.LSN(w.rng.IntN(1<<20)))
		case 6, 7, 8:
			w.report()
		case 9, 10:
			w.list()
		case 11:
			if w.rng.IntN(4) == 0 {
				w.asked = w.p.Asks(w.local())
			}
		case 12:
			w.happens()
		}
		for len(w.says) > 0 && w.rng.IntN(2) == 0 {
			w.says[0]()
			w.says = w.says[1:]
		}
		w.look()
	}
	w.end()
}

func (w *told) happens() {
	switch w.rng.IntN(8) {
	case 0, 1:
		w.connect()
	case 2:
		if w.theirs.parting == everywhere && w.rng.IntN(3) == 0 {
			w.theirs.parting, w.honest = w.theirs.received, false
		}
	case 3:
		if w.rng.IntN(2) == 0 { // it begins anew where the primary writes
			at := seg.Floor(max(w.own.received, w.theirs.received))
			w.theirs = storedWAL{oldest: at, received: at, complete: at, parting: everywhere, keeps: w.theirs.keeps}
			w.connect()
			w.anew++
		}
	}
}

func (w *told) connect() {
	w.says, w.asked = nil, lsn.Invalid
	w.p.Begin()
	w.list()
}

func (w *told) grow(x *storedWAL, to lsn.LSN) {
	x.received = max(x.received, min(to, w.ends[len(w.ends)-1]))
	i, _ := slices.BinarySearch(w.ends, x.received+1)
	x.complete, x.torn = max(x.oldest, w.ends[i-1]), w.rng.IntN(4) == 0
	if w.rng.IntN(3) == 0 && x.received > x.keeps {
		x.oldest = max(x.oldest, min(seg.Floor(x.received-x.keeps), seg.Floor(x.received-1)))
	}
}

func (w *told) printOf(at lsn.LSN) lsn.Print {
	return lsn.Print{Timeline: 1, LSN: at, Sum: w.theirs.sum(at)}
}

func (w *told) report() {
	if at := w.theirs.complete; w.theirs.onDisk(at) || w.theirs.inMemory(at) {
		x := w.printOf(at)
		w.says = append(w.says, func() { w.p.Report(x) })
	}
}

func (w *told) list() {
	var all []lsn.Print
	x := w.theirs
	for at := seg.Floor(x.complete); at > 2*s && len(all) < listed && (x.onDisk(at) || x.inMemory(at)); at -= s {
		all = append(all, w.printOf(at))
	}
	if at := w.asked; at != lsn.Invalid && at <= x.complete && (x.onDisk(at) || x.inMemory(at)) {
		all = append(all, w.printOf(at))
	}
	w.says = append(w.says, func() { w.p.List(x.oldest, all) })
}

func (w *told) local() Local {
	return Local{
		Timeline: 1, Oldest: w.own.oldest, Received: w.own.received, Complete: w.own.complete, SegSize: seg,
		HashAt: func(_ lsn.TimelineID, at lsn.LSN) (uint64, bool) {
			return w.own.sum(at), w.own.inMemory(at) || w.read[at] && at <= w.own.received
		},
	}
}

func (w *told) fails(what string) {
	w.Fatalf("%s: equal from %s to %s, differs at %s, asks %s; own %+v, the member's %+v", what, w.p.From(), w.p.Equal(),
		w.p.Differs(), w.p.Asks(w.local()), w.own, w.theirs)
}

// look compares, reads what that takes as a node does, and judges the result.
func (w *told) look() {
	before, differed := w.p.Equal(), w.p.Differs()
	changed := w.p.Step(w.local())
	if !changed && (w.p.Equal() != before || w.p.Differs() != differed) {
		w.fails("nobody is told that it has changed")
	}
	for _, x := range slices.Clone(w.p.ToRead()) {
		if w.own.onDisk(x.LSN) {
			w.read[x.LSN] = true
		} else {
			w.p.Unread(x)
		}
		w.p.Again()
	}
	w.p.Step(w.local())
	switch {
	case w.p.Equal() > min(w.theirs.parting, w.own.received, w.theirs.complete):
		w.fails("equal beyond what is")
	case w.p.Differs() != lsn.Invalid && w.honest:
		w.fails("nothing differs")
	case w.p.Equal() < before && w.p.Differs() == lsn.Invalid:
		w.fails("no longer equal up to " + before.String())
	}
	if w.p.Equal() != lsn.Invalid && w.p.Equal() > before && w.p.Equal() <= w.own.oldest {
		w.kept++
	}
}

// end lets everything be said and answered.
func (w *told) end() {
	for range 40 {
		w.asked = w.p.Asks(w.local())
		w.list()
		w.report()
		for _, say := range w.says {
			say()
			w.look()
		}
		w.says = nil
	}
	end, oldest := min(w.own.complete, w.theirs.complete), seg.Floor(max(w.own.oldest, w.theirs.oldest))
	switch both := end > oldest; {
	case w.theirs.parting < end && both && w.p.Differs() == lsn.Invalid:
		w.fails("the difference is not found")
	case w.theirs.parting == everywhere && both && w.p.Equal() < end:
		w.fails("in the end not equal up to " + end.String())
	case w.theirs.parting == everywhere && w.joins(end) && w.p.Equal() < seg.Floor(end):
		w.fails("in the end not equal up to the segment of " + end.String())
	}
}

// joins reports whether the hashes of both stores at the ends of the segments up to end join to what is equal.
func (w *told) joins(end lsn.LSN) bool {
	at := seg.Floor(w.p.Equal()) + s
	for ; at <= end; at += s {
		lists := w.theirs.inMemory(at) && at+listed*s > w.theirs.complete
		if !w.own.inMemory(at) || !lists && !w.theirs.onDisk(at) { // what is not listed is answered
			return false
		}
	}
	return w.p.Equal() != lsn.Invalid
}
