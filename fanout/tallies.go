package fanout

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/replproxy/replproxy/fanout/walsender"
	"github.com/replproxy/replproxy/internal/histogram"
)

// OtherStandbys is the label of standbys that neither a rule nor a lasting slot names.
const OtherStandbys = "other"

// tallies holds a counter for each label of standbys. A label is a name of a rule, that of a lasting slot, or
// OtherStandbys, so clients do not make more of them. Make it with newTallies.
type tallies struct {
	mu      sync.Mutex
	by      map[string]*walsender.Tally
	members walsender.Tally // sessions of other members of the cluster
}

func newTallies() *tallies { return &tallies{by: map[string]*walsender.Tally{}} }

// Tally holds the counts of a label since the label came.
type Tally struct {
	Label string // "" stands for all members of the cluster
	Bytes uint64
	Flush histogram.Snapshot
}

// label returns a session's label.
func (h *Hub) label(s *session) string {
	name := s.who.ApplicationName
	switch {
	case h.o.Named != nil && h.o.Named(name):
		return strings.ToLower(name) // rules know no case
	case h.lasting(name):
		return name
	case h.lasting(s.slot):
		return s.slot
	}
	return OtherStandbys
}

// lasting reports whether there is a slot of that name which outlives its session.
func (h *Hub) lasting(name string) bool {
	if name == "" {
		return false
	}
	info, ok := h.o.Slots.Read(name)
	return ok && !info.Temporary
}

// count makes sure that a session is counted under its present label.
func (h *Hub) count(s *session) {
	if s.who.Member {
		s.sender.SetTally(&h.tallies.members)
		return
	}
	label := h.label(s)
	h.tallies.mu.Lock()
	defer h.tallies.mu.Unlock()
	t := h.tallies.by[label]
	if t == nil {
		t = new(walsender.Tally)
		h.tallies.by[label] = t
	}
	s.sender.SetTally(t)
}

// Tallies returns the counts of each label, in the labels' order. A label that is neither named any more nor used is
// forgotten.
func (h *Hub) Tallies() []Tally {
	used := map[string]bool{OtherStandbys: true}
	for _, s := range h.registry.sessions() {
		h.count(s)
		used[h.label(s)] = true
	}
	h.tallies.mu.Lock()
	defer h.tallies.mu.Unlock()
	maps.DeleteFunc(h.tallies.by, func(label string, _ *walsender.Tally) bool {
		return !used[label] && !h.lasting(label) && (h.o.Named == nil || !h.o.Named(label))
	})
	all := []Tally{tallyOf("", &h.tallies.members)}
	for _, label := range slices.Sorted(maps.Keys(h.tallies.by)) {
		all = append(all, tallyOf(label, h.tallies.by[label]))
	}
	return all
}

func tallyOf(label string, t *walsender.Tally) Tally {
	return Tally{Label: label, Bytes: t.Bytes.Load(), Flush: t.Flush.Snapshot()}
}
