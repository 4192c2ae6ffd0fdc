package fanout

import (
	"errors"
	"log/slog"
	"strings"

	"github.com/replproxy/replproxy/fanout/walsender"
)

// sayBegins logs that a session begins to stream. A member's stream is no standby's: that member tells of it.
func (h *Hub) sayBegins(s *session, p walsender.Plan) {
	if !s.who.Member {
		h.sayOf(s).Info("a standby begins to stream", "timeline", uint32(p.Timeline), "start_lsn", p.Start)
	}
}

// sayEnds logs that a session streams no more and why: in PostgreSQL's words, where PostgreSQL has some.
func (h *Hub) sayEnds(s *session, next *NextTimeline, err error) {
	if s.who.Member {
		return
	}
	st, why := s.sender.Status(), "the standby ended it"
	switch {
	case err != nil:
		why = strings.TrimPrefix(err.Error(), walsender.ErrSessionOver.Error()+": ")
	case next != nil:
		why = "the timeline ended"
	}
	if errors.Is(err, ErrDrain) {
		why = "this proxy stops"
	}
	h.sayOf(s).Info("a standby ends streaming", "why", why, "timeline", uint32(st.Timeline), "sent_lsn", st.Sent,
		"flush_lsn", st.Flush, "bytes", st.Bytes)
}

func (h *Hub) sayOf(s *session) *slog.Logger {
	return h.log.With("application_name", s.who.ApplicationName, "user", s.who.User, "client_addr", s.who.ClientAddr,
		"slot", s.slot)
}
