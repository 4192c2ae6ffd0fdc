package lsn

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// TimelineID numbers a timeline. 0 is no timeline; 1 has no history file.
type TimelineID uint32

// String prints the number in decimal, as PostgreSQL's messages do.
func (t TimelineID) String() string { return strconv.FormatUint(uint64(t), 10) }

// HistoryFileName returns the name of the timeline's history file in pg_wal.
func (t TimelineID) HistoryFileName() string { return fmt.Sprintf("%08X.history", uint32(t)) }

// ParseHistoryFileName returns the inverse of HistoryFileName; false for any other name.
func ParseHistoryFileName(name string) (TimelineID, bool) {
	digits, found := strings.CutSuffix(name, ".history")
	if !found {
		return 0, false
	}
	t, ok := parseHex8(digits)
	return TimelineID(t), ok && t != 0
}

// SystemID is the system identifier that initdb gave to a cluster, equal on all its standbys.
type SystemID uint64

// String prints the number in decimal, as IDENTIFY_SYSTEM does.
func (s SystemID) String() string { return strconv.FormatUint(uint64(s), 10) }

// MarshalText writes decimal text: JSON numbers lose precision above 2^53.
func (s SystemID) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads decimal text of 64 bits; after an error s is as before.
func (s *SystemID) UnmarshalText(b []byte) error {
	v, err := strconv.ParseUint(string(b), 10, 64)
	if err == nil {
		*s = SystemID(v)
	}
	return err
}

// HistoryEntry is one line of a history file: Timeline was left at Switch.
type HistoryEntry struct {
	Timeline TimelineID
	Switch   LSN
	Reason   string
}

// History is the whole ancestry of one timeline, oldest ancestor first. The zero History is not
// usable; timeline 1 has no entries.
type History struct {
	Timeline TimelineID
	Parents  []HistoryEntry
}

// ErrHistory reports a history file that breaks the rules of PostgreSQL's timeline.c.
var ErrHistory = errors.New("invalid timeline history")

// ParseHistory reads the content of tli's history file: lines "parent<TAB>switch LSN<TAB>reason", ascending in
// timeline; blank lines and lines that start with # are skipped. Positions need not ascend: a recovery along timeline 2
// that stops before 2 left 1 makes "1 0/6000000, 2 0/4004588". Then 1 counts up to 0/4004588 too and 2 holds nothing,
// so the positions in Parents do ascend. An empty file has no parents. Errors wrap [ErrHistory].
func ParseHistory(tli TimelineID, content []byte) (History, error) {
	h := History{Timeline: tli}
	last := TimelineID(0)
	for n, line := range strings.Split(string(content), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		e, err := parseHistoryLine(line)
		if err != nil {
			return History{}, fmt.Errorf("%w: line %d: %w", ErrHistory, n+1, err)
		}
		if e.Timeline <= last {
			return History{}, fmt.Errorf("%w: line %d: timelines must ascend", ErrHistory, n+1)
		}
		last = e.Timeline
		h.Parents = append(h.Parents, e)
	}
	if tli == 0 || last >= tli {
		return History{}, fmt.Errorf("%w: timeline %s is not newer than its parent %s", ErrHistory, tli, last)
	}
	for i := len(h.Parents) - 2; i >= 0; i-- {
		h.Parents[i].Switch = min(h.Parents[i].Switch, h.Parents[i+1].Switch)
	}
	return h, nil
}

func parseHistoryLine(line string) (HistoryEntry, error) {
	f := strings.Fields(line)
	if len(f) < 2 {
		return HistoryEntry{}, errors.New("expected a timeline ID and a switchpoint")
	}
	t, err := strconv.ParseUint(f[0], 10, 32)
	if err != nil || t == 0 {
		return HistoryEntry{}, fmt.Errorf("expected a numeric timeline ID, got %q", f[0])
	}
	at, err := Parse(f[1])
	if err != nil {
		return HistoryEntry{}, err
	}
	rest := strings.TrimLeft(strings.TrimPrefix(line, f[0]), " \t")
	reason := strings.TrimSpace(strings.TrimPrefix(rest, f[1]))
	return HistoryEntry{Timeline: TimelineID(t), Switch: at, Reason: reason}, nil
}

// Begin returns the position where the history's own timeline begins; 0 for a timeline without parent.
func (h History) Begin() LSN {
	if n := len(h.Parents); n > 0 {
		return h.Parents[n-1].Switch
	}
	return 0
}

// Contains reports whether t is the timeline itself or one of its ancestors; 0 never is.
func (h History) Contains(t TimelineID) bool {
	if t == h.Timeline {
		return t != 0
	}
	_, _, ok := h.SwitchPoint(t)
	return ok
}

// SwitchPoint returns the position at which ancestor t was left, and the timeline that holds the byte there. It reports
// false for the history's own timeline and for timelines outside the ancestry.
func (h History) SwitchPoint(t TimelineID) (at LSN, next TimelineID, ok bool) {
	for i, e := range h.Parents {
		if e.Timeline != t {
			continue
		}
		for _, later := range h.Parents[i+1:] {
			if later.Switch > e.Switch {
				return e.Switch, later.Timeline, true
			}
		}
		return e.Switch, h.Timeline, true
	}
	return 0, 0, false
}

// TimelineOf returns the timeline whose range [begin, end) holds the byte at l.
func (h History) TimelineOf(l LSN) TimelineID {
	for _, e := range h.Parents {
		if l < e.Switch {
			return e.Timeline
		}
	}
	return h.Timeline
}
