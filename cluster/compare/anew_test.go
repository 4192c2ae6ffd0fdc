package compare

import (
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestMemberBeginsAnew: a member that has given up lost WAL begins its store anew. It lists nothing at first, and then
// segments beyond those that were compared. It is compared from there.
func TestMemberBeginsAnew(t *testing.T) {
	const seg = lsn.LSN(16 << 20)
	o := Local{
		Timeline: 1, Oldest: seg, Received: 12*seg + 400, Complete: 12*seg + 400, SegSize: lsn.SegSize(seg),
		HashAt: func(_ lsn.TimelineID, at lsn.LSN) (uint64, bool) { return uint64(at), true },
	}
	same := func(at lsn.LSN) lsn.Print { return lsn.Print{Timeline: 1, LSN: at, Sum: uint64(at)} }
	for name, before := range map[string]func(p *Peer){
		"other bytes were found": func(p *Peer) {
			p.List(seg, []lsn.Print{same(5 * seg), {Timeline: 1, LSN: 6 * seg, Sum: 99}})
			p.Report(lsn.Print{Timeline: 1, LSN: 6*seg + 90, Sum: 98})
		},
		"a report had other bytes": func(p *Peer) {
			p.List(seg, []lsn.Print{same(5 * seg)})
			p.Report(lsn.Print{Timeline: 1, LSN: 5*seg + 90, Sum: 98})
		},
		"its WAL was the same": func(p *Peer) {
			p.List(seg, []lsn.Print{same(5 * seg)})
			p.Report(same(5*seg + 90))
		},
	} {
		for _, restarted := range []bool{true, false} {
			var p Peer
			before(&p)
			p.Step(o)
			if restarted {
				p.Begin()
				p.List(0, nil)
				p.Step(o)
			}
			p.List(10*seg, []lsn.Print{same(11 * seg), same(12 * seg)})
			p.Report(same(12*seg + 400))
			if changed := p.Step(o); !changed || p.Equal() != 12*seg+400 || p.Differs() != lsn.Invalid {
				t.Errorf("%s, restarted %t: equal up to %s, differs at %s", name, restarted, p.Equal(), p.Differs())
			}
		}
	}
}
