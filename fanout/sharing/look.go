package sharing

import (
	"slices"

	"github.com/replproxy/replproxy/fanout/slot/shared"
)

// KeptBy returns the members that are heard and have said that they keep the WAL of a slot.
func (s *Sharing) KeptBy(name string) (members []string) {
	for _, member := range s.names {
		if s.members[member].keeps(name) && s.o.Members.Hears(member) {
			members = append(members, member)
		}
	}
	return members
}

// Unconfirmed returns the members, forgotten ones apart, that are not known to know what is known here of a slot.
func (s *Sharing) Unconfirmed(name string) (members []string) {
	known, gone := s.o.Slots.Known(name), s.o.Members.Forgotten()
	for _, member := range s.names {
		if s.members[member].behind(known) && !slices.Contains(gone, member) {
			members = append(members, member)
		}
	}
	return members
}

// confirmed returns a function that reports whether all members, forgotten ones apart, know a state. It holds for this
// moment.
func (s *Sharing) confirmed() func(shared.State) bool {
	gone := s.o.Members.Forgotten()
	return func(known shared.State) bool {
		return !slices.ContainsFunc(s.names, func(member string) bool {
			return s.members[member].behind(known) && !slices.Contains(gone, member)
		})
	}
}

// Dropped returns the slots whose removal not every member has confirmed, by name.
func (s *Sharing) Dropped() (names []string) {
	for _, st := range s.o.Slots.Shared() {
		if st.Dropped && len(s.Unconfirmed(st.Name)) > 0 {
			names = append(names, st.Name)
		}
	}
	return names
}

// Failing returns the members with which slots are not shared now, and why.
func (s *Sharing) Failing() map[string]string {
	all := map[string]string{}
	for _, m := range s.members {
		if why := m.problem(); why != "" {
			all[m.name] = why
		}
	}
	return all
}
