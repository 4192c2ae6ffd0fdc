package lsn

import (
	"errors"
	"fmt"
	"strconv"
)

// SegSize is wal_segment_size in bytes: a power of two from 1 MB to 1 GB. It differs per cluster,
// so it travels with every computation instead of being a constant.
type SegSize uint64

// The limits of wal_segment_size and its default (PostgreSQL's xlog_internal.h).
const (
	MinSegSize     SegSize = 1 << 20
	MaxSegSize     SegSize = 1 << 30
	DefaultSegSize SegSize = 16 << 20
)

// ErrSegSize reports a number that cannot be a wal_segment_size.
var ErrSegSize = errors.New("invalid WAL segment size")

// Valid reports whether s is a power of two within PostgreSQL's limits.
func (s SegSize) Valid() bool {
	return s >= MinSegSize && s <= MaxSegSize && s&(s-1) == 0
}

// ParseSegSize reads the answer to SHOW wal_segment_size: a number with unit B, kB, MB or GB, of bytes without one.
// [ErrSegSize]: it is no size that segments can have.
func ParseSegSize(text string) (SegSize, error) {
	i := 0
	for i < len(text) && '0' <= text[i] && text[i] <= '9' {
		i++
	}
	n, err := strconv.ParseUint(text[:i], 10, 31) // no size has more, and times GB it does not overflow
	if err != nil {
		return 0, fmt.Errorf("%w: %q", ErrSegSize, text)
	}
	unit, ok := map[string]uint64{"": 1, "B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}[text[i:]]
	s := SegSize(n * unit)
	if !ok || !s.Valid() {
		return 0, fmt.Errorf("%w: %q", ErrSegSize, text)
	}
	return s, nil
}

// String prints the size as SHOW wal_segment_size does.
func (s SegSize) String() string {
	if s >= 1<<30 {
		return strconv.FormatUint(uint64(s>>30), 10) + "GB"
	}
	return strconv.FormatUint(uint64(s>>20), 10) + "MB"
}

// Segno returns the number of the segment that holds l.
func (s SegSize) Segno(l LSN) uint64 { return uint64(l) / uint64(s) }

// Start returns the first position of segment segno.
func (s SegSize) Start(segno uint64) LSN { return LSN(segno * uint64(s)) }

// Floor returns the first position of the segment that holds l.
func (s SegSize) Floor(l LSN) LSN { return l - l%LSN(s) }

// Offset returns the distance of l from the start of its segment.
func (s SegSize) Offset(l LSN) int64 { return int64(l % LSN(s)) }

// IsStart reports whether l is the first position of a segment.
func (s SegSize) IsStart(l LSN) bool { return l%LSN(s) == 0 }

// FileName returns the name of a segment in pg_wal: timeline, then the segment number in two parts.
func (s SegSize) FileName(tli TimelineID, segno uint64) string {
	per := s.perID()
	return fmt.Sprintf("%08X%08X%08X", uint32(tli), segno/per, segno%per)
}

// ParseFileName returns the inverse of FileName. It reports false for anything that is not exactly the name of a
// segment of this size, such as history files, ".partial" files and digests.
func (s SegSize) ParseFileName(name string) (tli TimelineID, segno uint64, ok bool) {
	if len(name) != 24 {
		return 0, 0, false
	}
	t, ok1 := parseHex8(name[:8])
	hi, ok2 := parseHex8(name[8:16])
	lo, ok3 := parseHex8(name[16:])
	if !ok1 || !ok2 || !ok3 || uint64(lo) >= s.perID() {
		return 0, 0, false
	}
	return TimelineID(t), uint64(hi)*s.perID() + uint64(lo), true
}

// perID returns the number of segments that share the upper half of an LSN (XLogSegmentsPerXLogId).
func (s SegSize) perID() uint64 { return (1 << 32) / uint64(s) }

// parseHex8 reads exactly eight upper-case hexadecimal digits; false for any other text.
func parseHex8(s string) (uint32, bool) {
	var v uint32
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			v = v<<4 | uint32(c-'0')
		case 'A' <= c && c <= 'F':
			v = v<<4 | uint32(c-'A'+10)
		default:
			return 0, false
		}
	}
	return v, len(s) == 8
}
