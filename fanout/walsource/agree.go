package walsource

import (
	"github.com/replproxy/replproxy/fanout/walreceiver"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
)

// Whereabouts holds a server's answers on a connection that is not the stream's, such as a client's own.
type Whereabouts struct {
	Endpoint   string // as its String has it
	System     lsn.SystemID
	Timeline   lsn.TimelineID
	XLogPos    lsn.LSN
	History    []byte // the history file of Timeline; nil for timeline 1
	InRecovery bool
	Virtual    bool // it is a proxy
}

// errGoingOver returns the refusal while the store changes over to another timeline.
func errGoingOver(format string, args ...any) *pgerror.Error {
	return pgerror.New(pgerror.CannotConnectNow, "the database system is starting up").WithDetail(format, args...)
}

// Judge takes note of the known WAL, and returns a function that judges a server at w by it. The server must be asked
// for w after Judge was called. The function returns nil if the server would give WAL that belongs to the stored WAL
// (ruling R43). It returns 57P03 while the store may yet go over to the server's history, otherwise the reason for
// which the server is not followed. Any goroutine may call both. They may read the disk.
func (r *Supply) Judge() func(w Whereabouts) error {
	b := r.grounds()
	return func(w Whereabouts) error {
		if b.identity.System == 0 || b.have.Timeline == 0 {
			return errGoingOver("replproxy has not received WAL from the primary yet.")
		}
		c, err := w.candidate()
		if err != nil {
			return err
		}
		switch have := r.o.Store.Positions().Timeline; {
		case b.identity.System != w.System:
			return systemMismatch(b.identity, c.srv)
		case c.srv.inRecovery() && w.Timeline < have:
			return errGoingOver("The standby at %s has not gone over to timeline %s yet.", w.Endpoint, have)
		case have != b.have.Timeline:
			return errGoingOver("replproxy is going over to timeline %s.", have)
		}
		if err := b.judge(c); err != nil {
			if unheard(err) {
				return errGoingOver("%s.", pgerror.From(err).Message)
			}
			return err
		}
		if w.Timeline != b.have.Timeline {
			return errGoingOver("replproxy has not gone over to timeline %s yet.", w.Timeline)
		}
		return r.elsewhere(w)
	}
}

// candidate returns w as an election sees it. It fails if the history cannot be read.
func (w Whereabouts) candidate() (candidate, error) {
	srv := server{
		system: w.System, timeline: w.Timeline, xlogpos: w.XLogPos, virtual: w.Virtual, endpoint: w.Endpoint,
		history: lsn.History{Timeline: w.Timeline}, settings: map[string]string{inHotStandby: "off"},
	}
	if w.InRecovery {
		srv.settings[inHotStandby] = "on"
	}
	var err error
	if w.Timeline > 1 {
		srv.history, err = lsn.ParseHistory(w.Timeline, w.History)
	}
	return candidate{host: w.Endpoint, srv: srv}, err
}

// elsewhere refuses a server of the right system and timeline that is not the one whose WAL is stored. Its WAL was
// found to differ, or WAL comes from another server that writes this timeline.
func (r *Supply) elsewhere(w Whereabouts) error {
	st := r.Status()
	if s := st.Stop; s != nil && s.Apart && st.State != walreceiver.Streaming {
		return pgerror.New(pgerror.ObjectNotInPrerequisite, "%s", s.Why)
	}
	from, _, _, ok := r.Following()
	writes := st.Member != "" || st.Parameters[inHotStandby] == "off"
	if w.InRecovery || w.Virtual || !ok || !writes || from.String() == w.Endpoint {
		return nil
	}
	return errGoingOver("This session is connected to the primary at %s, and WAL comes from the one at %s.",
		w.Endpoint, from)
}

// Holds reports whether the store has WAL up to p: nil, 57P03 while it may still come, and else why it never will. Any
// goroutine may call it.
func (r *Supply) Holds(p lsn.Point) error {
	have := r.o.Store.Positions()
	if p.Timeline >= have.Timeline {
		if p.Timeline == have.Timeline && p.LSN <= have.Received {
			return nil
		}
		if s := r.Status().Stop; s != nil && s.Apart {
			return pgerror.New(pgerror.ObjectNotInPrerequisite, "%s", s.Why)
		}
		return errGoingOver("replproxy has not received WAL up to %s of timeline %s yet.", p.LSN, p.Timeline)
	}
	past, _ := r.storedHistory(have.Timeline)
	fork, _, ok := past.SwitchPoint(p.Timeline)
	switch {
	case !ok:
		return pgerror.New(pgerror.ObjectNotInPrerequisite, "timeline %s is not in this server's history", p.Timeline)
	case p.LSN > fork:
		return pgerror.New(pgerror.ObjectNotInPrerequisite, "timeline %s was left at %s, before %s",
			p.Timeline, fork, p.LSN)
	}
	return nil
}
