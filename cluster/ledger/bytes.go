package ledger

import (
	"github.com/replproxy/replproxy/cluster/compare"
	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Hashes notes the list of a member's store: where it begins, and hashes, see [compare.Peer.List].
func (l *Ledger) Hashes(node string, oldest lsn.LSN, list []lsn.Print) {
	if m := l.members[node]; m != nil && m != l.own() {
		m.bytes.List(oldest, list)
	}
}

// Has notes a hash of WAL that a member has, apart from its reports. Any other name is ignored.
func (l *Ledger) Has(node string, x lsn.Print) {
	if m := l.members[node]; m != nil && m != l.own() {
		m.bytes.Report(x)
	}
}

// Compare compares the members' WAL with this proxy's as it is now, as far as that is at hand, and reports whether
// that may have changed what counts. Do it before Covered: WAL that is not compared does not count.
func (l *Ledger) Compare(o compare.Local) (changed bool) {
	for _, m := range l.all[1:] {
		if l.hashes(m) && m.bytes.Step(o) {
			changed = true
		}
	}
	return changed
}

// ToRead returns, by member, the prints that wait for this store's hash, which has to be read.
func (l *Ledger) ToRead() map[string][]lsn.Print {
	var all map[string][]lsn.Print
	for name, m := range l.members {
		if x := m.bytes.ToRead(); l.hashes(m) && len(x) > 0 {
			if all == nil {
				all = map[string][]lsn.Print{}
			}
			all[name] = append([]lsn.Print(nil), x...)
		}
	}
	return all
}

// Read says that a hash of this store's WAL, which a member's print waits for, is at hand now. ok false: it can't be
// had, and the print is passed over.
func (l *Ledger) Read(node string, x lsn.Print, ok bool) {
	if m := l.members[node]; m != nil {
		if !ok {
			m.bytes.Unread(x)
		}
		m.bytes.Again()
	}
}

// Asks are, by member, the positions whose hashes would tell more.
func (l *Ledger) Asks(o compare.Local) map[string]lsn.LSN {
	asks := map[string]lsn.LSN{}
	for name, m := range l.members {
		if l.hashes(m) {
			if at := m.bytes.Asks(o); at != lsn.Invalid {
				asks[name] = at
			}
		}
	}
	return asks
}

// Bytes compares a member's WAL with this proxy's store.
type Bytes struct {
	Node    string
	Version int     // message version; 1 has no hashes
	Hashes  bool    // it has to show its WAL by hashes
	From    lsn.LSN // compared from here on
	Equal   lsn.LSN // up to here; Invalid: not compared
	Differs lsn.LSN // a position below which it is other WAL; Invalid: none is known
}

// Bytes returns the knowledge of the bytes of each other member's WAL, sorted by name.
func (l *Ledger) Bytes() (all []Bytes) {
	for _, name := range l.names()[1:] {
		m := l.members[name]
		all = append(all, Bytes{
			Node: name, Version: m.version, Hashes: l.hashes(m), From: m.bytes.From(), Equal: m.bytes.Equal(),
			Differs: m.bytes.Differs(),
		})
	}
	return all
}

// Differs reports whether a member is known to have other WAL than this node's store at the same positions. It is false
// also while nothing was compared, and of a member that need not show its WAL by hashes.
func (l *Ledger) Differs(node string) bool {
	m := l.members[node]
	return m != nil && l.hashes(m) && m.bytes.Differs() != lsn.Invalid
}

// Stamp names the WAL of this node's reports by x, the hash at the end of the last complete record. Reports that have
// no name, or one below their positions, get it. The result is for the other members.
func (l *Ledger) Stamp(x lsn.Print) (reports []vote.Report) {
	for _, own := range l.own().state.Sessions {
		s := l.sessions[own.Key]
		r := &s.report
		highest := max(r.Write, r.Flush, r.Apply)
		if r.Seq == 0 || r.Timeline != x.Timeline || r.Bytes.LSN >= highest || r.Bytes.LSN >= x.LSN {
			continue
		}
		r.Bytes, r.Seq = x, r.Seq+1
		reports = append(reports, *r)
	}
	return reports
}
