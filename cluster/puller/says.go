package puller

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/replproxy/replproxy/cluster/link"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Source describes this member's way to the primary, whether it streams from there or from another member.
type Source struct {
	// Connected: it reaches the primary that the stored WAL is of, on that system and timeline.
	Connected bool
	System    lsn.SystemID
	Timeline  lsn.TimelineID
	// Silence is for how long a stream from the primary has brought nothing although it was asked for an answer; 0: it
	// is not silent, or there is none.
	Silence time.Duration
	// Unanswered: the stream is silent, and the primary has not answered in other connections either.
	Unanswered bool
	// Stuck: the disk takes nothing of the WAL that comes.
	Stuck bool
	// Covers is up to where this member may report WAL that it has received.
	Covers lsn.LSN
}

// says holds a member's message to the others.
type says struct {
	pulls     bool
	letsGo    bool // it has given the primary up for whoever reaches it, or wants it
	connected bool
	system    lsn.SystemID
	timeline  lsn.TimelineID
	// silent is since when its source brings nothing, by the clock of whoever holds this; zero: it is not silent.
	silent time.Time
	stuck  bool // its disk takes nothing of the WAL that comes
	tells  bool // covers is told
	covers lsn.LSN
}

// The item's payload: the version of the encoding, and whether it pulls. From message version 2 on follow flags (1)
// system (8) timeline (4) and for how long the source has been silent, in milliseconds (4). What it
// covers (8) is behind that, and is not read where it is missing.
const (
	encoding  = 1
	olderSize = 2
	flagsSize = olderSize + 1 + 8 + 4 + 4
	wholeSize = flagsSize + 8
)

const (
	flagLetsGo = 1 << iota
	flagConnected
	flagSilent
	flagStuck
	flagTells
)

func (s says) append(b []byte, now time.Time) []byte {
	var pulls, flags byte
	if s.pulls {
		pulls = 1
	}
	for i, set := range []bool{s.letsGo, s.connected, !s.silent.IsZero(), s.stuck, s.tells} {
		if set {
			flags |= 1 << i
		}
	}
	var silence time.Duration
	if !s.silent.IsZero() {
		silence = min(max(now.Sub(s.silent), 0), 24*time.Hour)
	}
	b = append(b, encoding, pulls, flags)
	b = binary.BigEndian.AppendUint64(b, uint64(s.system))
	b = binary.BigEndian.AppendUint32(b, uint32(s.timeline))
	b = binary.BigEndian.AppendUint32(b, uint32(silence.Milliseconds()))
	return binary.BigEndian.AppendUint64(b, uint64(s.covers))
}

// read reads a payload of a message version. What follows the known fields is of a release to come.
func read(b []byte, version int, now time.Time) (s says, err error) {
	if len(b) < olderSize || b[0] != encoding || b[1] > 1 || version <= link.Oldest && len(b) > olderSize {
		return s, fmt.Errorf("invalid message of kind %d", itemPulls)
	}
	if s.pulls = b[1] == 1; len(b) < flagsSize {
		return s, nil
	}
	flags, b := b[olderSize], b[olderSize+1:]
	s.letsGo, s.connected, s.stuck = flags&flagLetsGo != 0, flags&flagConnected != 0, flags&flagStuck != 0
	s.system, s.timeline = lsn.SystemID(binary.BigEndian.Uint64(b)), lsn.TimelineID(binary.BigEndian.Uint32(b[8:]))
	if flags&flagSilent != 0 {
		s.silent = now.Add(-time.Duration(binary.BigEndian.Uint32(b[12:])) * time.Millisecond)
	}
	if s.tells = flags&flagTells != 0 && len(b) >= wholeSize-olderSize-1; s.tells {
		s.covers = lsn.LSN(binary.BigEndian.Uint64(b[16:]))
	}
	return s, nil
}

// same reports whether o says the same as s. A silence that goes on is no news.
func (s says) same(o says) bool {
	s.silent, o.silent = silentOrNot(s.silent), silentOrNot(o.silent)
	return s == o
}

func silentOrNot(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return time.Unix(1, 0)
}
