package walreceiver

import (
	"errors"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// ErrReportChanged: wal.report was changed. A connection keeps its bound.
var ErrReportChanged = errors.New("wal.report was changed: streaming begins anew, as reports have another bound")

// writtenAgain lies between two tries to report written WAL, while the store owes some.
const writtenAgain = time.Second

// writtenReports decides whether a connection's reports are bounded by the written WAL, and not by the flushed (ruling
// R42). They are under a rule, towards a primary itself, where no slot follows the reports. A commit is then durable
// where the rule says. It is guarded by the reporter's mu.
type writtenReports struct {
	asked func() bool // Options.Written; nil: never
	at    bool        // what it said when the connection began
	suits bool        // under a rule the connection is of that kind
	fits  bool        // it is
	from  lsn.LSN     // WAL up to here is flushed first, see reportWritten
	next  time.Time   // of the next try
}

// newWritten looks at the connection as it begins.
func (st *Stream) newWritten() writtenReports {
	w := writtenReports{asked: st.r.o.Written}
	if w.asked != nil {
		w.at = w.asked()
		w.suits = w.at && !st.member && !st.srv.Recovery && !st.srv.Virtual && st.slotless()
		w.fits = w.suits && st.ruled
		w.from = st.srv.End
	}
	return w
}

// changed reports whether wal.report was changed since the connection began.
func (w *writtenReports) changed() bool { return w.asked != nil && w.asked() != w.at }

// reportWritten takes the bound into use where the connection fits and nothing is owed for having been reported. It may
// wait for the disk, once. Before that all is flushed that the primary had when the connection began: what is reported
// then and not flushed lies beyond each restart of the primary until then. The caller holds mu.
func (rp *reporter) reportWritten(now time.Time) {
	w := &rp.written
	if !w.fits || rp.core.written || now.Before(w.next) || rp.store.Positions().Flushed < w.from {
		return
	}
	w.next = now.Add(writtenAgain)
	err := rp.store.ReportWritten()
	switch {
	case err == nil:
		rp.core.written = true
		rp.live.written.Store(true)
		rp.log.Info("reports follow what is written here: no commit waits for this proxy's disk, the rule says where " +
			"commits are durable")
	case errors.Is(err, walstore.ErrOwing):
	default:
		w.fits = false
		rp.log.Warn("reports wait for this proxy's disk, although wal.report is written", "err", err)
	}
}

// begunOtherwise returns why the connection can't go on: its reports have, or are to have, another bound. The caller
// holds mu.
func (rp *reporter) begunOtherwise(ruled bool) error {
	switch {
	case (rp.choice || rp.core.written || rp.written.suits) && ruled != rp.ruled:
		return ErrRuleChanged
	case rp.written.changed():
		return ErrReportChanged
	}
	return nil
}
