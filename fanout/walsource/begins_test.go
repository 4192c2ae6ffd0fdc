package walsource

import (
	"errors"
	"slices"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestBeginsComesFirst: whoever must know where the store's next WAL comes from is told before any comes, and each time
// a stream begins. When that can't be kept no WAL is taken.
func TestBeginsComesFirst(t *testing.T) {
	w, m := newWalsender(t, nil), newMemStore()
	full := make(chan error, 1)
	full <- errors.New("no space left on device")
	told := make(chan bool, 2)
	var had []lsn.LSN
	r := start(t, w, m, func(o *Options) {
		o.Begins = func(member string, empty bool, left lsn.TimelineID) (bool, error) {
			select {
			case err := <-full:
				return false, err
			default:
			}
			had = append(had, m.Positions().Received)
			told <- member == "" && empty == (len(had) == 1) && left == 0
			return false, nil
		}
	})
	refused := <-w.copies
	refused.send(xlog(fakeSeg, "abc"))
	r.await("the refusal", func(s Status) bool { return s.LastError == "no space left on device" })
	if got := m.bytes(); got != "" {
		t.Errorf("stored %q", got)
	}
	c := <-w.copies
	c.send(xlog(fakeSeg, "abc"))
	c.awaitFlush(fakeSeg + 3)
	c.Close()
	<-w.copies
	if first, again := <-told, <-told; !first || !again || !slices.Equal(had, []lsn.LSN{fakeSeg, fakeSeg + 3}) {
		t.Errorf("told %t %t, at %v", first, again, had)
	}
}

// TestKeptIsNotSetAside: the store was to set WAL aside at its next start, and follows a server that was promoted with that
// WAL. The word is over then. That it stays is told with the timeline that was left, before any WAL comes.
func TestKeptIsNotSetAside(t *testing.T) {
	for _, kept := range []bool{false, true} {
		word := &wordOf{aside: &Aside{}, of: 1}
		m := newMemStore()
		m.id = walstore.Identity{System: 7, SegSize: lsn.SegSize(fakeSeg), ServerMajor: 15}
		m.pos = walstore.Positions{Timeline: 1, Oldest: fakeSeg, Received: fakeSeg + 9, Written: fakeSeg + 9, Flushed: fakeSeg + 9, Complete: fakeSeg + 9}
		var left []lsn.TimelineID
		r := with(t, Options{Store: m, Accept: word, Keep: word.keep, Begins: func(_ string, _ bool, t lsn.TimelineID) (bool, error) {
			left = append(left, t)
			return kept, nil
		}})
		r.aside.Store(1)
		srv := server{system: 7, timeline: 2, history: lsn.History{Timeline: 2, Parents: []lsn.HistoryEntry{{Timeline: 1, Switch: fakeSeg + 9}}}}
		if err := errors.Join(r.startStream(startPoint{2, fakeSeg + 9}, srv), r.startStream(startPoint{2, fakeSeg + 9}, srv)); err != nil {
			t.Fatal(err)
		}
		if (r.aside.Load() == 0) != kept || (word.aside != nil) == kept || !slices.Equal(left, []lsn.TimelineID{1, 0}) {
			t.Errorf("kept %t: set aside at the next start %d and %t, left %v", kept, r.aside.Load(), word.aside != nil, left)
		}
	}
}
