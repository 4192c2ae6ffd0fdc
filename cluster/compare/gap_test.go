package compare

import (
	"testing"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// TestMemberBehindOurStore: this store keeps little WAL. A member lags by more, amid a bulk load or over a slow link. Its
// hashes join, and our own are in memory: what it reports is ours.
func TestMemberBehindOurStore(t *testing.T) {
	w := &wal{}
	var p Peer
	p.List(2*s, sealed(w, 3, 4, 5))
	p.Report(printOf(w, 5*s+100))
	p.Step(own(w, 2*s, 5*s+100, 5*s+100))
	for n := lsn.LSN(6); n < 40; n++ { // this store is three segments ahead of it, and keeps two
		p.List(2*s, sealed(w, n-1, n))
		p.Report(printOf(w, n*s+100))
		if p.Step(own(w, (n+1)*s, (n+3)*s+100, (n+3)*s+100)); p.Equal() != n*s+100 {
			t.Fatalf("the member has %s, equal up to %s", n*s+100, p.Equal())
		}
	}
}

// TestRetentionPassesEqual: this store removes the segment up to which a member is equal. The member's next report lies in
// it, and can't be compared any more. The end of that segment can be.
func TestRetentionPassesEqual(t *testing.T) {
	w := &wal{}
	var p Peer
	p.List(2*s, sealed(w, 3, 4, 5))
	p.Report(printOf(w, 5*s+900))
	p.Step(own(w, 2*s, 5*s+900, 5*s+900))
	o := own(w, 6*s, 7*s+10, 7*s+10)
	o.HashAt = func(_ lsn.TimelineID, at lsn.LSN) (uint64, bool) { return w.sum(at), at >= 6*s }
	p.Report(printOf(w, 5*s+910))
	p.Step(o)
	for _, x := range p.ToRead() {
		p.Unread(x)
	}
	if p.Step(o); p.Equal() != 5*s+900 || p.Asks(o) != lsn.Invalid {
		t.Fatalf("equal up to %s, asks %s", p.Equal(), p.Asks(o))
	}
	p.List(2*s, sealed(w, 6))
	p.Report(printOf(w, 6*s+30))
	if p.Step(o); p.Equal() != 6*s+30 {
		t.Errorf("equal up to %s", p.Equal())
	}
}

// TestBehindAGap: the segments between what is equal and what both have are gone. What is equal stays so until the member is
// compared where both have WAL, by its reports or by what it is asked for.
func TestBehindAGap(t *testing.T) {
	w := &wal{}
	o := own(w, 10*s, 12*s+400, 12*s+400)
	o.HashAt = func(_ lsn.TimelineID, at lsn.LSN) (uint64, bool) { return w.sum(at), at > 10*s }
	for name, c := range map[string]struct {
		list        []lsn.Print
		report      lsn.LSN
		asks, equal lsn.LSN
	}{
		"it lags":                     {sealed(w, 7), 7*s + 20, lsn.Invalid, 5*s + 100},
		"it has come to our store":    {nil, 10*s + 20, lsn.Invalid, 10*s + 20},
		"it is listed there":          {sealed(w, 11), 11*s + 30, lsn.Invalid, 11*s + 30},
		"it is ahead, and new there":  {nil, 12*s + 500, 12 * s, 5*s + 100},
		"it has answered that":        {sealed(w, 12), 12*s + 500, 12*s + 400, 12 * s},
		"its hash there is not ours":  {[]lsn.Print{{Timeline: 1, LSN: 11 * s, Sum: 7}}, 11*s + 30, 11 * s, lsn.Invalid},
		"it has the gap in its store": {sealed(w, 7, 8, 9, 10), 10*s - 9, lsn.Invalid, 5*s + 100},
	} {
		var p Peer
		p.List(2*s, sealed(w, 3, 4, 5))
		p.Report(printOf(w, 5*s+100))
		p.Step(own(w, 2*s, 5*s+100, 5*s+100))
		p.List(2*s, c.list)
		p.Report(printOf(w, c.report))
		for range 2 {
			p.Step(o)
		}
		if p.Equal() != c.equal || p.Asks(o) != c.asks || (p.Differs() != lsn.Invalid) != (c.equal == lsn.Invalid) {
			t.Errorf("%s: equal up to %s, asks %s, differs at %s", name, p.Equal(), p.Asks(o), p.Differs())
		}
	}
}
