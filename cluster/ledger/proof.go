package ledger

import (
	"slices"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// prove returns the incarnations of other sessions of s's name whose predecessor s is proven not to be.
//
//	     met: how far s was sent and had ──┐
//	learned of t ─────────► report 1 ──────┴──► WAL beyond it sent to s ──► report 2 with write beyond it
//
// A session that was left for t can't have received what was sent to it after t was known: reports that
// are still in its socket were written before. An answer to a keepalive would not tell, because such an
// old report looks like one (docs/adr/0020). A write position beyond what s was sent proves nothing, then
// or later: the standby has that from elsewhere.
func (l *Ledger) prove(s *session, a Ack) []uint64 {
	if s.Kind == vote.Store {
		return nil
	}
	var proven []uint64
	var met map[uint64]lsn.LSN
	for _, t := range l.sharing[sessionName{s.Kind, s.Name}] {
		if t == s || len(met) == vote.MaxDistinct {
			continue
		}
		at, known := s.met[t.Incarnation]
		if !known || a.Timeline != s.report.Timeline {
			at = max(a.Sent, a.Write)
		}
		if met == nil {
			met = map[uint64]lsn.LSN{}
		}
		met[t.Incarnation] = at
		already := a.Timeline == s.report.Timeline && slices.Contains(s.report.Distinct, t.Incarnation)
		if already || a.Write > at && a.Write <= a.Sent {
			proven = append(proven, t.Incarnation)
		}
	}
	s.met = met
	slices.Sort(proven)
	return proven
}
