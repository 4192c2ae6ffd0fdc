package fanout

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/replproxy/replproxy/fanout/walsender"
	"github.com/replproxy/replproxy/grammar/lsn"
)

const (
	// strandedFor is the time for which a standby that is not seen again is named. One that is stuck comes back within
	// wal_retrieve_retry_interval (5 s). One that is rewound under another name does not.
	strandedFor = 5 * time.Minute
	// maxStranded bounds how many are named.
	maxStranded = 100
)

// Stranded is a standby that has WAL which the present timeline lacks. PostgreSQL goes on asking for the timeline that
// was left, in silence, until pg_rewind has taken that WAL away.
type Stranded struct {
	ApplicationName string
	Has             lsn.LSN        // WAL of Timeline up to here
	Timeline        lsn.TimelineID // that was left
	Fork            lsn.LSN        // where it was left
	Next            lsn.TimelineID // for this one
	GivenUp         bool           // that WAL was given up: pg_rewind, which compares timelines only, does not see it
	seen            time.Time
}

// strandeds holds the standbys that were seen stranded of late, by application_name.
type strandeds struct {
	mu   sync.Mutex
	rows map[string]Stranded
}

// strand notes a row; reports whether that is news.
func (s *strandeds) strand(row Stranded) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.rows[row.ApplicationName]
	if s.rows == nil {
		s.rows = map[string]Stranded{}
	}
	if !known && len(s.rows) >= maxStranded {
		return false
	}
	s.rows[row.ApplicationName] = row
	return !known
}

// streams takes name off if it was noted before then: it streamed the present timeline at that time.
func (s *strandeds) streams(name string, then time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if row, noted := s.rows[name]; noted && then.After(row.seen) {
		delete(s.rows, name)
	}
}

func (s *strandeds) none() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.rows) == 0
}

// streamed takes off the name of a session whose standby has said since that it streams.
func (h *Hub) streamed(s *session) {
	if st := s.sender.Status(); st.State == walsender.Streaming {
		h.stranded.streams(s.who.ApplicationName, st.LastReply)
	}
}

// allStreamed does that for all who are attached. A report itself costs nothing for it.
func (h *Hub) allStreamed() {
	if h.stranded.none() {
		return
	}
	for _, s := range h.registry.sessions() {
		h.streamed(s)
	}
}

// Stranded lists standbys that have WAL which the present timeline lacks, by name.
func (h *Hub) Stranded() (all []Stranded) {
	h.allStreamed()
	s := &h.stranded
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, row := range s.rows {
		if time.Since(row.seen) > strandedFor {
			delete(s.rows, name)
			continue
		}
		all = append(all, row)
	}
	slices.SortFunc(all, func(a, b Stranded) int { return cmp.Compare(a.ApplicationName, b.ApplicationName) })
	return all
}

// strand names a standby as stranded if it has WAL beyond next, where timeline t was left. has is the position that it
// applied, or from which it wants to go on.
func (h *Hub) strand(name string, t lsn.TimelineID, has lsn.LSN, next NextTimeline) {
	if has <= next.Start {
		return
	}
	h.allStreamed()
	row := Stranded{
		ApplicationName: name, Has: has, Timeline: t, Fork: next.Start, Next: next.Timeline, seen: time.Now(),
		GivenUp: h.o.Losses.GaveUp(lsn.Point{Timeline: t, LSN: has}),
	}
	if !h.stranded.strand(row) {
		return
	}
	log := h.log.With("standby", name, "timeline", uint32(t), "has_lsn", has, "fork_lsn", next.Start,
		"new_timeline", uint32(next.Timeline))
	if row.GivenUp {
		log.Warn("a standby has WAL that was given up, and that the new timeline lacks: it needs to be made anew by " +
			"pg_basebackup")
		return
	}
	log.Warn("a standby has WAL that the new timeline lacks: it needs pg_rewind, or to be made anew")
}

// ended notes whether a session whose timeline was left had more WAL than next has. nil: its timeline was not left.
func (h *Hub) ended(name string, next *NextTimeline, st walsender.Status) {
	if next != nil {
		h.strand(name, st.Timeline, st.Apply, *next)
	}
}
