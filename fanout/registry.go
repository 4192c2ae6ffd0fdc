package fanout

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/replproxy/replproxy/fanout/walsender"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// registry knows the attached standbys. Its size is bounded by the proxy's limit of sessions. Make it with newRegistry.
type registry struct {
	mu       sync.Mutex
	attached map[*session]struct{}
}

func newRegistry() *registry { return &registry{attached: map[*session]struct{}{}} }

// registration keeps a session in the registry until Release.
type registration struct {
	r *registry
	s *session
}

func (r *registry) attach(s *session) *registration {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attached[s] = struct{}{}
	return &registration{r, s}
}

// Release removes the session. It may be called more than once.
func (g *registration) Release() {
	g.r.mu.Lock()
	defer g.r.mu.Unlock()
	delete(g.r.attached, g.s)
}

func (r *registry) sessions() []*session {
	r.mu.Lock()
	all := make([]*session, 0, len(r.attached))
	for s := range r.attached {
		all = append(all, s)
	}
	r.mu.Unlock()
	slices.SortFunc(all, func(a, b *session) int { return cmp.Compare(a.who.PID, b.who.PID) })
	return all
}

// SetSenderTimeout gives the primary's wal_sender_timeout, if it is known, to all sessions that did not ask for one of
// their own.
func (h *Hub) SetSenderTimeout(d time.Duration, known bool) {
	if !known {
		return
	}
	for _, s := range h.registry.sessions() {
		if !s.who.OwnTimeout {
			s.sender.SetTimeout(d)
		}
	}
}

// Having is the end of a session's WAL: of that which it was sent here, or has reported.
type Having struct {
	ApplicationName string
	Timeline        lsn.TimelineID
	LSN             lsn.LSN
}

// EndThose ends the sessions for which why gives an error, in PostgreSQL's words; members of the cluster are not asked
// about. They end within a moment.
func (h *Hub) EndThose(why func(Having) error) {
	for _, s := range h.registry.sessions() {
		st := s.sender.Status()
		if s.who.Member {
			continue
		}
		if err := why(Having{s.who.ApplicationName, st.Timeline, st.Top}); err != nil {
			s.sender.End(err)
		}
	}
}

// Standby is one attached standby in the shape of pg_stat_replication. Positions are as the standby
// reported them; 0 is none. Lags are in nanoseconds, -1 when unknown.
type Standby struct {
	PID             int32
	User            string
	ApplicationName string
	Label           string // name of a rule or of a lasting slot, or OtherStandbys
	ClientAddr      string
	BackendStart    time.Time
	State           walsender.State
	Timeline        lsn.TimelineID
	Sent            lsn.LSN
	lsn.Progress
	WriteLag      time.Duration
	FlushLag      time.Duration
	ApplyLag      time.Duration
	LastReply     time.Time
	SyncState     string
	SyncPriority  int
	Slot          string
	Bytes         uint64
	FromDisk      uint64
	AboveReceived uint64 // clamped (R28)
	AboveSent     uint64 // no vote (R6)
	Feedback      Feedback
	Bounded       bool // it is sent WAL up to Covered only
	Covered       lsn.LSN
}

// Standbys returns one row per attached standby, by PID. Members of the cluster that stream from here are none.
func (h *Hub) Standbys() []Standby {
	sessions := h.registry.sessions()
	rows := make([]Standby, 0, len(sessions))
	for _, s := range sessions {
		if s.who.Member {
			continue
		}
		st := s.sender.Status()
		syncState, priority := "async", 0
		if s.voter != nil {
			syncState, priority = s.voter.State()
		}
		rows = append(rows, Standby{
			PID: s.who.PID, User: s.who.User, ApplicationName: s.who.ApplicationName, Label: h.label(s),
			ClientAddr: s.who.ClientAddr, BackendStart: s.who.Started, State: st.State,
			Timeline: st.Timeline, Sent: st.Sent, Progress: st.Progress,
			WriteLag: st.WriteLag, FlushLag: st.FlushLag, ApplyLag: st.ApplyLag,
			LastReply: st.LastReply, SyncState: syncState, SyncPriority: priority, Slot: s.slot,
			Bytes: st.Bytes, FromDisk: st.FromDisk,
			AboveReceived: st.AboveReceived, AboveSent: st.AboveSent, Feedback: st.Feedback,
			Bounded: st.Bounded, Covered: st.Horizon,
		})
	}
	return rows
}
