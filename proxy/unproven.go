package proxy

import (
	"container/list"
	"net/netip"
)

// unproven are the sessions whose clients have not logged in yet, oldest first, with how many each address has. They
// give way when a limit is reached: whoever knows no password must not keep out who does. The table's lock guards it.
type unproven struct {
	sessions list.List
	from     map[netip.Prefix]int
}

func (u *unproven) add(s *Session) {
	if s.giveWay == nil {
		return
	}
	if u.from == nil {
		u.from = map[netip.Prefix]int{}
	}
	s.unproven = u.sessions.PushBack(s)
	u.from[origin(s.clientAddr)]++
}

func (u *unproven) remove(s *Session) {
	if s.unproven == nil {
		return
	}
	u.sessions.Remove(s.unproven)
	s.unproven = nil
	from := origin(s.clientAddr)
	if u.from[from]--; u.from[from] == 0 {
		delete(u.from, from)
	}
}

// pick is the oldest of those that will do from the address that has most, so that a crowd pushes out its own; nil
// for none.
func (u *unproven) pick(will func(*Session) bool) (oldest *Session) {
	most := 0
	for e := u.sessions.Front(); e != nil; e = e.Next() {
		s := e.Value.(*Session)
		if n := u.from[origin(s.clientAddr)]; n > most && will(s) {
			oldest, most = s, n
		}
	}
	return oldest
}
