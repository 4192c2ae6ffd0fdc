package syncrep

import "github.com/replproxy/replproxy/grammar/lsn"

// Coverage tells which WAL of a timeline rules cover, and which names of standbys they count.
type Coverage struct {
	Timeline lsn.TimelineID
	// At is the furthest flush position that every rule in use has covered. Whatever the primary may have been told of
	// is below it, so each server that a failover may choose has it. The highest LSN: there is no rule. Invalid: that
	// is not known, or nothing is covered yet.
	At lsn.LSN
	// Votes reports whether a rule in use counts standbys of that application_name, by * too.
	Votes      func(applicationName string) bool
	Generation uint64 // changes with Votes
}
