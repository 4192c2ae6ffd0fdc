package walsource

import (
	"errors"
	"fmt"
	"time"

	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// repeatLog lies between two log lines of an error that does not change.
const repeatLog = time.Minute

// startRefused reads the refusals that change what the next attempt does or how it is explained.
func (r *Supply) startRefused(err error, srv server, p startPoint) error {
	var e *pgerror.Error
	early := p.at < srv.seg.Floor(r.o.Store.Positions().Received)
	switch {
	case early && (pgerror.HasCode(err, pgerror.UndefinedFile) || errors.Is(err, walstore.ErrRemoved) ||
		errors.Is(err, walstore.ErrDamaged)):
		r.lacking = p.at // the segment was only to be compared: without it we start where PostgreSQL does
	case errors.Is(err, walreceiver.ErrInvariant):
		r.rcv.Update(func(st *walreceiver.Status) { st.InvariantViolations++ })
	case !errors.As(err, &e):
	case e.Code == pgerror.UndefinedFile:
		end := r.o.Store.Positions().Received
		r.starve(true)
		r.gone = restorable(r.o.Store.Positions(), srv)
		return errPermanent{fmt.Errorf("%w: the upstream has removed the WAL that follows %s, where the store ends; "+
			"nothing is skipped: name an archive that has it in wal.restore_command; or stop the upstream, bring the "+
			"segments back to its pg_wal, raise its wal_keep_size and start it again; or make a new store "+
			"(docs/runbook.md, A new store)", err, end)}
	case e.Code == pgerror.ObjectNotInPrerequisite && srv.version >= 180000 && r.o.Slot != "" && !r.stream.Apart() &&
		e.Message != "cannot use a logical replication slot for physical replication": // it may be in another language
		r.rcv.SlotLost() // "can no longer access replication slot"
	case e.Code == pgerror.ObjectInUse:
		r.rcv.Update(func(st *walreceiver.Status) { st.SlotState = walreceiver.SlotBusy })
	}
	return err
}

// failed shows and logs why a connection ended; the same reason is logged once a minute, wherever its positions are.
func (r *Supply) failed(err error) {
	text := pgerror.Describe(err)
	if r.refusedFor(err); r.unfit != nil {
		r.waits(0, r.unfit) // before it is shown: whoever sees it may accept it
	}
	r.refuse(err, time.Now())
	r.locked(func() { r.lacks = r.unfit })
	r.rcv.Update(func(st *walreceiver.Status) { st.LastError = text })
	r.stop(err, text, time.Now())
	reason := lsn.WithoutPositions(text)
	if reason == r.lastLog && time.Since(r.logged) < repeatLog {
		return
	}
	r.lastLog, r.logged = reason, time.Now()
	switch {
	case errors.Is(err, walreceiver.ErrUpstreamShutdown):
		r.log.Info("upstream is shutting down", "err", text)
	case errors.Is(err, walreceiver.ErrRuleChanged), errors.Is(err, walreceiver.ErrReportChanged),
		errors.Is(err, errSaidMore), errors.Is(err, errReplaced):
		r.log.Info("connecting anew", "err", text)
	case r.unfit != nil:
		r.log.Error("the upstream is not followed", "err", text)
	default:
		r.log.Warn("no WAL from upstream", "err", text)
	}
}
