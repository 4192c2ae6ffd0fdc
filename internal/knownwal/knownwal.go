package knownwal

import "github.com/replproxy/replproxy/grammar/lsn"

// Known is the end of WAL that somebody in the cluster has or had. A server must have that WAL to be followed (rulings
// R3, R32).
type Known struct {
	lsn.Point
	By    string // the member that has said so; "": this proxy, by its store or by the acks that it has seen
	Acked bool   // a primary was told under a rule that the WAL is safe, or a rule covered it
	// Complete: a record ends at the point. Elsewhere a primary that crashed may rightly have less (ruling R36).
	Complete bool
	// Lost: By refuses the primary of the timeline, which has come back without the WAL from From up to the point.
	Lost bool
	From lsn.LSN // Invalid: not known
	// Shown: a standby had it when it came, and this proxy had given it none since its own start. Whatever the primary
	// had before it went down goes so far.
	Shown bool
	// Late: By had said nothing when this proxy's store left the timeline, which was judged without it (ADR 0086).
	Late bool
}

// Unheard names members that have said nothing since the start of this proxy, and may have reported anything.
type Unheard struct {
	Members []string // a new timeline waits for them; nil: for nobody
	// Alone: no member at all was heard for as long as one takes that runs. This proxy can then report nothing either.
	Alone bool
	// KnownBy is a member that has Members[0] in its configuration, where this proxy has not and so cannot hear it. It
	// is waited for until both have the same list; "": Members are this proxy's own.
	KnownBy string
}
