package walsource

import (
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/handshake/upstream"
)

// A store that was emptied amid reports, and begins anew from a member, may have promised all that the primary had then. It
// ends that promise once it has all of that again, and no sooner.
func TestPromiseEndsOnceAllIsThereAgain(t *testing.T) {
	m := newMemStore()
	m.promised, m.had = walstore.PromisedAll, 1
	r := with(t, Options{Store: m})
	for _, s := range []struct {
		name     string
		timeline lsn.TimelineID
		flushed  lsn.LSN
		end      lsn.LSN // of the primary
		want     lsn.LSN
	}{
		{"the primary gave WAL up", 1, 900, lsn.Invalid, walstore.PromisedAll},
		{"some is missing", 1, 400, 500, walstore.PromisedAll},
		{"the primary was another timeline's", 2, 900, 500, walstore.PromisedAll},
		{"all is there", 1, 600, 500, 700},
		{"it has an end", 1, 800, 750, 700},
	} {
		m.locked(func() {
			m.pos = walstore.Positions{Timeline: s.timeline, Oldest: 100, Received: s.flushed + 100, Flushed: s.flushed}
		})
		if r.endPromise(1, s.end); r.rcv.Promised() != s.want {
			t.Errorf("%s: promised up to %s, not %s", s.name, r.rcv.Promised(), s.want)
		}
	}
}

// TestPrimarySaysWhatIsOwed: WAL that comes from a member says nothing of what was reported, and on a quiet system it never
// reaches the bound of what is owed. The primary's answer says it, once it was vouched for, of its own timeline.
func TestPrimarySaysWhatIsOwed(t *testing.T) {
	m := newMemStore()
	r := with(t, Options{Store: m})
	m.pos = walstore.Positions{Timeline: 1, Oldest: 100, Received: 500, Flushed: 500, Complete: 500}
	m.owes = walstore.Repair{From: 500, To: 900, Bound: 900}
	for _, s := range []struct {
		name     string
		timeline lsn.TimelineID
		end      lsn.LSN
		want     lsn.LSN
	}{
		{"it gave WAL up", 1, lsn.Invalid, 0},
		{"it is of another timeline", 2, 500, 0},
		{"it has that much", 1, 500, 500},
	} {
		if err := r.primarySaid(t.Context(), upstream.Endpoint{}, s.timeline, s.end); err != nil || m.primaryHas != s.want {
			t.Errorf("%s: %v, it is told %s", s.name, err, m.primaryHas)
		}
	}
}
