package loss

import (
	"fmt"

	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/grammar/syncrep"
)

// Refusal returns why a standby whose first report is said gets no WAL because of l, in PostgreSQL's words. here: this
// proxy still has the lost WAL itself.
func (l Loss) Refusal(here bool, standby string, said lsn.Progress) error {
	switch {
	case here && l.Own:
		return pgerror.New(pgerror.ObjectNotInPrerequisite,
			"this proxy still has WAL %s, which was given up", l.where()).
			WithHint("Restart the proxy: it then sets that WAL aside.")
	case here:
		return pgerror.New(pgerror.ObjectNotInPrerequisite,
			"this proxy still has WAL %s, which was given up on another one", l.where()).
			WithHint("Give it up here too: replproxy accept-timeline %s.", l.Timeline)
	}
	return l.refusalOf(standby, max(said.Write, said.Flush, said.Apply))
}

// Ends returns why the session of a standby that has WAL of t up to has ends when l is given up; nil: it goes on. One
// that has none of the lost WAL ends too: it is judged by its first report when it is back.
func (l Loss) Ends(standby string, t lsn.TimelineID, has lsn.LSN) error {
	switch {
	case t != l.Timeline:
		return nil
	case has <= l.From:
		return Over()
	}
	return l.refusalOf(standby, has)
}

// Over returns the end of a session that is judged anew when it is back, in PostgreSQL's words.
func Over() error {
	return pgerror.Fatal(pgerror.AdminShutdown, "terminating connection due to administrator command")
}

func (l Loss) refusalOf(standby string, has lsn.LSN) error {
	return pgerror.New(pgerror.ObjectNotInPrerequisite,
		"standby \"%s\" may have WAL %s, which was given up", standby, l.where()).
		WithDetail("It has WAL up to %s. The primary has come back without what it had up to %s, and has written "+
			"other WAL since.", has, l.To).
		WithHint("Make it anew from a base backup that begins beyond %s; if it is made anew already, say so: "+
			"replproxy made-anew %s.", l.To, syncrep.QuoteName(standby))
}

// where says which WAL was given up: where it begins, if that is known.
func (l Loss) where() string {
	if l.From == lsn.Invalid {
		return fmt.Sprintf("of timeline %s up to %s", l.Timeline, l.To)
	}
	return fmt.Sprintf("beyond %s of timeline %s", l.From, l.Timeline)
}
