package ledger

import "time"

// silent reports whether m was last heard more than Timeout ago: its votes have expired. This node is never silent, and
// with a Timeout of 0 nobody is.
func (l *Ledger) silent(now time.Time, m *member) bool {
	return m != l.own() && l.o.Timeout > 0 && now.Sub(m.at) > l.o.Timeout
}

// Seen says that a member lives, though it has nothing new to say. Unknown names are ignored.
func (l *Ledger) Seen(now time.Time, node string) {
	if m := l.members[node]; m != nil && m.heard {
		m.at = now
	}
}

// Lives reports whether a member has been heard within Timeout.
func (l *Ledger) Lives(now time.Time, node string) bool {
	m := l.members[node]
	return m != nil && m.heard && !l.silent(now, m)
}
