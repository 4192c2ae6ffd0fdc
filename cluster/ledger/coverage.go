package ledger

import "github.com/replproxy/replproxy/grammar/lsn"

// Covered remembers the furthest flush position that was reportable on a timeline. Every rule in use covered it, so
// any server that a failover may choose has what was acknowledged of it. The zero Covered has seen nothing.
type Covered struct {
	System   lsn.SystemID
	Timeline lsn.TimelineID
	At       lsn.LSN // [Max]: there is no rule; Invalid: nothing was given yet
}

// Note takes over the positions given on a timeline where they are higher, and reports whether At has changed. ruled
// says that a rule is in use. A position that was covered stays so when voters leave: what they have, or had, was
// acknowledged.
func (c *Covered) Note(system lsn.SystemID, t lsn.TimelineID, ruled bool, given lsn.Progress) (moved bool) {
	was := c.At
	switch {
	case c.System != system || c.Timeline != t, c.At == Max:
		c.System, c.Timeline, c.At = system, t, given.Flush
	default:
		c.At = max(c.At, given.Flush)
	}
	if ruled && c.At == Max {
		c.At = lsn.Invalid // never: a rule covers positions
	}
	return c.At != was
}
