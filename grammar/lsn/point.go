package lsn

import "fmt"

// Point is a position of the WAL of one timeline of one system. A position alone names none: each timeline of each
// system may have other WAL there.
type Point struct {
	System   SystemID
	Timeline TimelineID // 0: it is not known which one
	LSN      LSN
}

// String prints timeline and position: "0/3000060 on timeline 1".
func (p Point) String() string { return fmt.Sprintf("%s on timeline %s", p.LSN, p.Timeline) }

// Lack reports whether a server on the history's timeline, with WAL of it up to end, lacks WAL that leads to p, a
// position in the same system. from is the first position that it lacks. Where the history does not lead through p's
// timeline, all of that timeline is lacking and from is 0. Where p's timeline is not known it is taken for the one
// that the history leaves first.
func (h History) Lack(end LSN, p Point) (from LSN, lacks bool) {
	switch fork, _, ancestor := h.SwitchPoint(p.Timeline); {
	case p.LSN == Invalid:
		return Invalid, false
	case p.Timeline == h.Timeline:
		from = end
	case ancestor:
		from = min(fork, end)
	case p.Timeline == 0 && len(h.Parents) > 0:
		from = min(h.Parents[0].Switch, end)
	case p.Timeline == 0:
		from = end
	default:
		return Invalid, true
	}
	return from, from < p.LSN
}
