package ledger

import (
	"time"

	"github.com/replproxy/replproxy/cluster/vote"
)

// Member describes a configured node, this one included.
type Member struct {
	Node      string
	Heard     bool          // since this ledger began; otherwise Rule is not known
	Reached   bool          // heard, and not silent
	Silence   time.Duration // since it was heard; 0: this node, or it was not heard at all
	Contested bool          // two live holders of its name
	Relapsed  bool          // see [Ledger.Relapse]
	Rule      vote.Rule
}

// Members returns all configured nodes, this node's first, then by name.
func (l *Ledger) Members(now time.Time) (all []Member) {
	for _, name := range l.names() {
		m := l.members[name]
		var silence time.Duration
		if m != l.own() && m.heard {
			silence = now.Sub(m.at)
		}
		all = append(all, Member{
			Node: name, Heard: m.heard, Reached: m.heard && !l.silent(now, m), Contested: m.contested,
			Silence: silence, Relapsed: m.relapsed,
			Rule: m.state.Rule,
		})
	}
	return all
}
