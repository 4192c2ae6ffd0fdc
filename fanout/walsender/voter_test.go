package walsender

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// ack is a status update as the voter is told it.
type ack struct {
	lsn.Progress
	at        time.Time
	timeline  lsn.TimelineID
	sent      lsn.LSN
	streaming bool
}

// recorder is a slot and a voter, and hears feedback.
type recorder struct {
	mu    sync.Mutex
	flush []lsn.LSN
	xmins []Feedback
	acks  []ack
	fbs   []Feedback
}

func (r *recorder) Confirm(l lsn.LSN) { r.mu.Lock(); defer r.mu.Unlock(); r.flush = append(r.flush, l) }

func (r *recorder) SetXmin(x, c copyboth.FullXID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.xmins = append(r.xmins, Feedback{x, c})
}

func (r *recorder) Report(at time.Time, t lsn.TimelineID, sent lsn.LSN, said lsn.Progress, streaming bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acks = append(r.acks, ack{said, at, t, sent, streaming})
}

func (r *recorder) heard(f Feedback) { r.mu.Lock(); defer r.mu.Unlock(); r.fbs = append(r.fbs, f) }

// TestSlotAndVoter: the slot follows every non-zero flush, even backward, never beyond what is received. The voter is
// told what the standby said, and up to where that counts.
func TestSlotAndVoter(t *testing.T) {
	store := newFakeStore(t, base, 1<<20)
	store.receive(base + 0x1000)
	r := &recorder{}
	c := attach(t, store, setup{plan: Plan{Timeline: 1, Start: base}, timeout: time.Minute, slot: r, votes: r})
	c.expect(copyBoth)
	c.until(base + 0x1000)
	for _, f := range []lsn.LSN{base + 0x800, 0, base + 0x9000, base + 0x400} {
		c.reply(f, f, 0, false)
	}
	c.write('d', copyboth.HotStandbyFeedback{Xmin: 700, CatalogXmin: 2}.Append(nil))
	c.reply(0, 0, 0, true)
	c.expect("k 0/3001000 false")
	waitFor(t, "five acks", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.acks) == 5 })
	if want := []lsn.LSN{base + 0x800, base + 0x1000, base + 0x400}; !slices.Equal(r.flush, want) {
		t.Errorf("slot got %v, expected %v", r.flush, want)
	}
	if want := []Feedback{{700, 0}}; !slices.Equal(r.xmins, want) || !slices.Equal(r.fbs, want) {
		t.Errorf("feedback %v, %v", r.xmins, r.fbs)
	}
	if a := r.acks[2]; a.Flush != base+0x9000 || a.sent != base+0x1000 || a.timeline != 1 || !a.streaming || a.at.IsZero() {
		t.Errorf("%+v", a)
	}
	if st := c.sender.Status(); st.AboveReceived != 1 || st.AboveSent != 1 {
		t.Errorf("%+v", st)
	}
}

// TestReportAfterFork: a report that is handled before the send loop has seen a switch confirms nothing above
// the fork.
func TestReportAfterFork(t *testing.T) {
	store := newFakeStore(t, base, 1<<20)
	store.receive(base + 0x1000)
	r := &recorder{}
	c := attach(t, store, setup{plan: Plan{Timeline: 1, Start: base}, timeout: time.Minute, slot: r, votes: r})
	c.expect(copyBoth)
	c.until(base + 0x1000)
	store.mu.Lock() // as fork does, but nobody is told
	store.history = lsn.History{Timeline: 2, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: base + 0x800}}}
	store.mu.Unlock()
	c.reply(base+0x1000, base+0x1000, 0, false)
	waitFor(t, "the ack", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.acks) == 1 })
	if want := []lsn.LSN{base + 0x800}; !slices.Equal(r.flush, want) {
		t.Errorf("slot got %v, expected %v", r.flush, want)
	}
}
