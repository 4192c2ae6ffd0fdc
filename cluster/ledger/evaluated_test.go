package ledger

import (
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Evaluated is Evaluate in memory of its own.
func (l *Ledger) Evaluated(now time.Time, system lsn.SystemID, t lsn.TimelineID) (lim Evaluation) {
	l.Evaluate(&lim, now, system, t)
	return lim
}
