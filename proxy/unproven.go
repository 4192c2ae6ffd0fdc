package proxy

import (
	"net/netip"

	"github.com/replproxy/replproxy/internal/crowd"
)

// unproven are the sessions whose clients have not logged in yet. They give way when a limit is reached: whoever knows
// no password must not keep out who does. The table's lock guards it.
type unproven struct {
	crowd crowd.Crowd[*Session, netip.Prefix]
}

func (u *unproven) add(s *Session) {
	if s.giveWay != nil {
		s.unproven = u.crowd.Add(s, origin(s.clientAddr))
	}
}

func (u *unproven) remove(s *Session) {
	u.crowd.Remove(s.unproven)
	s.unproven = nil
}

// pick returns the oldest of those that will do from the address that has most, so that a crowd pushes out its own;
// nil for none.
func (u *unproven) pick(will func(*Session) bool) *Session {
	victim := u.crowd.Victim(func(m *crowd.Member[*Session, netip.Prefix]) bool { return will(m.Value) })
	if victim == nil {
		return nil
	}
	return victim.Value
}
