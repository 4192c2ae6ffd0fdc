package walsender

import (
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Status is a sender's view of its standby. Positions are as the standby said them, not clamped.
type Status struct {
	State    State
	Timeline lsn.TimelineID
	Sent     lsn.LSN
	lsn.Progress
	Top                          lsn.LSN       // the most that it was sent from here or said that it has
	WriteLag, FlushLag, ApplyLag time.Duration // LagUnknown: none
	LastReply                    time.Time     // zero: none yet
	Bytes, FromDisk              uint64        // of WAL sent, and of these the ones read from files
	AboveReceived, AboveSent     uint64        // status updates beyond what the proxy has, or has sent here
	Feedback                     Feedback      // the last sane one
	Insane                       bool          // what the standby said of it last was not
	Bounded                      bool          // it is sent WAL up to Horizon only
	Horizon                      lsn.LSN       // as the sender saw it last
}

// Status returns the state of this moment.
func (s *Sender) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.core
	st := Status{
		State: c.state, Timeline: c.plan.Timeline, Sent: c.sent,
		Progress: c.report.Progress, Top: max(c.top, c.sent),
		WriteLag: c.lags[0].value(), FlushLag: c.lags[1].value(), ApplyLag: c.lags[2].value(),
		Bytes: s.bytes, FromDisk: s.fromDisk,
		AboveReceived: c.above.received, AboveSent: c.above.sent, Feedback: s.fb, Insane: s.insane,
		Bounded: s.bounded && !c.plan.Historic, Horizon: c.horizon,
	}
	if c.reported {
		st.LastReply = c.lastReply
	}
	return st
}
