package walsource

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/knownwal"
)

// elects holds an election among servers with that WAL, of which each is asked at its own address.
func (x *lostAndPromoted) elects(wal []byte, servers ...server) (best int, refused []error) {
	x.attempt = &attempt{}
	all, sessions := make([]candidate, len(servers)), make([]Conn, len(servers))
	for i, srv := range servers {
		all[i] = candidate{host: srv.endpoint, srv: srv, err: x.avoid[srv.endpoint]}
		sessions[i] = newSender(wal)
	}
	best, refused = x.choose(x.t.Context(), x.grounds(), all, sessions)
	for i, srv := range servers {
		x.lostWAL(srv, refused[i])
	}
	return best, refused
}

// TestElectionLooksAtTheRefused: each host is refused for WAL that was found lost at its address, or before the start.
// Another server is there by now, with that WAL: it is elected. The wrong one is refused at each election.
func TestElectionLooksAtTheRefused(t *testing.T) {
	for _, empty := range []bool{false, true} {
		for _, again := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				x := promotedLost(t, empty)
				right := bytes.Clone(x.wal)
				right[len(right)-100]--
				x.srv.timeline, x.srv.history = 1, lsn.History{Timeline: 1}
				db1, db2 := x.srv, x.srv
				db2.endpoint = "db2:5432"
				p, _, _ := x.had(x.store.Positions())
				lost := &LackError{System: 7, Timeline: 1, Of: 1, To: p.LSN, Lost: true}
				x.lostWAL(db1, lost)
				x.lostWAL(db2, lost)
				if again {
					x.word.refused = lost
					x.start()
					x.recall()
				}
				for range 3 {
					if best, refused := x.elects(x.wal, db1, db2); best >= 0 {
						t.Errorf("empty %v, again %v: the wrong one is elected, %v", empty, again, refused)
					}
				}
				time.Sleep(partingDelay)
				if best, refused := x.elects(right, db1, db2); best < 0 {
					t.Errorf("empty %v, again %v: the right one is refused: %v", empty, again, refused)
				}
			})
		}
	}
}

// TestElectionRefusesForAll: an election refuses a promoted server by its fork. What it has lost before is in the same
// refusal, so that the operator's word about it holds when its bytes are looked at.
func TestElectionRefusesForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := promotedLost(t, false)
		x.claim = x.fork + 500
		for range 3 {
			best, refused := x.elects(x.wal, x.srv)
			var e *LackError
			if best >= 0 || !errors.As(refused[0], &e) || e.From != lsn.Invalid || e.To != x.claim {
				t.Fatalf("elected %d, %v", best, refused)
			}
			x.word.Waits(0, []*LackError{e})
			time.Sleep(partingDelay)
		}
		x.word.said = x.word.waits
		if best, refused := x.elects(x.wal, x.srv); best < 0 {
			t.Fatal("accepted, and", refused)
		}
		if e := x.try(); e != nil {
			t.Errorf("accepted and elected, and refused for %+v", e)
		}
	})
}

// TestElectionPassesOverTheLost: a host lost WAL, wrote on and was promoted. Its timeline is the highest, and its bytes
// refuse it: the other host, which is the right primary, is elected next.
func TestElectionPassesOverTheLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := promotedLost(t, false)
		x.o.Others = func() ([]knownwal.Known, knownwal.Unheard) { return nil, knownwal.Unheard{} }
		right := x.srv
		right.timeline, right.history, right.endpoint = 1, lsn.History{Timeline: 1}, "db2:5432"
		if best, refused := x.elects(x.wal, right, x.srv); best != 1 {
			t.Fatal(best, refused)
		}
		if x.try() == nil {
			t.Fatal("a server that lost WAL is followed")
		}
		for range 2 { // however long an attempt takes
			if best, refused := x.elects(x.wal, right, x.srv); best != 0 {
				t.Errorf("%d is elected: %v", best, refused)
			}
			time.Sleep(partingDelay)
		}
	})
}
