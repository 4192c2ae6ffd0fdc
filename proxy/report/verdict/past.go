package verdict

import (
	"maps"
	"time"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/syncrep"
	"github.com/replproxy/replproxy/proxy/admin"
)

// Past holds facts that no single document has: since when the state holds, hosts fail, and where voters were.
// The zero value knows nothing.
type Past struct {
	State string
	Since time.Time
	// Errors are the document's of hosts that fail.
	Errors []admin.HostError
	Seen   map[string]Place // by the folded name of a voter; of those that the rules name only, which bounds it
}

// Place tells at which proxy a voter was attached, and when that was so last.
type Place struct {
	Node string
	At   time.Time
}

// Next returns the past of the next document, which knows of this one.
func (p Past) Next(s *admin.Status) Past {
	next := Past{State: s.Verdict.State, Since: s.Verdict.Since, Errors: s.Upstream.Errors, Seen: map[string]Place{}}
	l := &look{Status: s}
	for _, r := range l.rules() {
		for _, name := range r.Names {
			folded := vote.Fold(name)
			if place, ok := p.Seen[folded]; ok && name != syncrep.Wildcard {
				next.Seen[folded] = place
			}
		}
	}
	now := maps.Clone(next.Seen)
	for _, v := range s.Quorum.Voters {
		if v.Node == "" || l.silent(v.Node) {
			continue
		}
		for _, r := range l.rules() {
			if r.Priority(v.Name) > 0 && r.names(v.Name) {
				now[v.Name] = Place{v.Node, s.Now.UTC()}
			}
		}
	}
	next.Seen = now
	return next
}
