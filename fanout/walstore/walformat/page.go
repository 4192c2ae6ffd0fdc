package walformat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Lengths of the two page headers in bytes.
const (
	ShortHeaderLen = 24
	LongHeaderLen  = 40
)

// Bits of a page header's info.
const (
	FirstIsContRecord          = 1 // the page begins with the rest of a record
	LongHeader                 = 2 // first page of a segment
	BkpRemovable               = 4
	FirstIsOverwriteContRecord = 8 // the record that was to go on here was given up
	infoMask                   = 15
)

// magics is XLOG_PAGE_MAGIC of each major release; it is fixed within one (facts H2).
var magics = map[int]uint16{13: 0xD106, 14: 0xD10D, 15: 0xD110, 16: 0xD113, 17: 0xD116, 18: 0xD118}

// Magic returns the page magic of a major release; false for one this package does not know.
func Magic(major int) (uint16, bool) {
	m, ok := magics[major]
	return m, ok
}

// Source holds the values that every page of one PostgreSQL installation has in common.
type Source struct {
	System  lsn.SystemID
	SegSize lsn.SegSize
	Major   int
}

// Header is a WAL page header. The last three fields are in long headers only.
//
//	 0      2      4          8                16         20        24               32        36        40
//	┌──────┬──────┬──────────┬────────────────┬──────────┬─────────┬────────────────┬─────────┬─────────┐
//	│magic │ info │ timeline │ page address   │ rem_len  │ padding │ system id      │seg size │page size│
//	└──────┴──────┴──────────┴────────────────┴──────────┴─────────┴────────────────┴─────────┴─────────┘
type Header struct {
	Magic    uint16
	Info     uint16
	Timeline lsn.TimelineID
	Addr     lsn.LSN
	RemLen   uint32
	System   lsn.SystemID
	SegSize  uint32
	PageSize uint32
}

// Len returns the header's length in bytes.
func (h *Header) Len() int {
	if h.Info&LongHeader != 0 {
		return LongHeaderLen
	}
	return ShortHeaderLen
}

// ErrShortHeader reports too few bytes for a page header.
var ErrShortHeader = errors.New("page header is cut off")

// ParseHeader decodes the header at the start of b, whatever its values: nothing but the length is checked.
// [ErrShortHeader]: b is too short for it.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < ShortHeaderLen {
		return Header{}, ErrShortHeader
	}
	le := binary.LittleEndian
	h := Header{
		Magic:    le.Uint16(b),
		Info:     le.Uint16(b[2:]),
		Timeline: lsn.TimelineID(le.Uint32(b[4:])),
		Addr:     lsn.LSN(le.Uint64(b[8:])),
		RemLen:   le.Uint32(b[16:]),
	}
	if h.Info&LongHeader == 0 {
		return h, nil
	}
	if len(b) < LongHeaderLen {
		return Header{}, ErrShortHeader
	}
	h.System = lsn.SystemID(le.Uint64(b[24:]))
	h.SegSize = le.Uint32(b[32:])
	h.PageSize = le.Uint32(b[36:])
	return h, nil
}

// Append encodes h at the end of b; the padding is zero.
func (h *Header) Append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint16(b, h.Magic)
	b = le.AppendUint16(b, h.Info)
	b = le.AppendUint32(b, uint32(h.Timeline))
	b = le.AppendUint64(b, uint64(h.Addr))
	b = le.AppendUint32(b, h.RemLen)
	b = append(b, 0, 0, 0, 0)
	if h.Info&LongHeader != 0 {
		b = le.AppendUint64(b, uint64(h.System))
		b = le.AppendUint32(b, h.SegSize)
		b = le.AppendUint32(b, h.PageSize)
	}
	return b
}

// ErrPage matches every *[PageError] in errors.Is.
var ErrPage = errors.New("invalid WAL page")

// PageError names the header field at page LSN that is not as it must be.
type PageError struct {
	LSN           lsn.LSN
	Field         string
	Expected, Got string
}

func (e *PageError) Error() string {
	return fmt.Sprintf("WAL page at %s: %s is %s, expected %s", e.LSN, e.Field, e.Got, e.Expected)
}

// Is makes errors.Is(err, ErrPage) true.
func (e *PageError) Is(target error) bool { return target == ErrPage }

// HeaderLenAt returns the length of the header of the page that starts at at: long on the first page of a segment.
func (s Source) HeaderLenAt(at lsn.LSN) int {
	if s.SegSize.IsStart(at) {
		return LongHeaderLen
	}
	return ShortHeaderLen
}

// Check compares the header found at page start at with what must be there; the timeline is the
// caller's business. The error is a *[PageError].
func (s Source) Check(at lsn.LSN, h *Header) error {
	bad := func(field, expected, got string) error {
		return &PageError{LSN: at, Field: field, Expected: expected, Got: got}
	}
	if want := magics[s.Major]; h.Magic != want {
		return bad("magic", fmt.Sprintf("%04X (PostgreSQL %d)", want, s.Major), fmt.Sprintf("%04X", h.Magic))
	}
	if h.Info&^infoMask != 0 {
		return bad("info", "at most 000F", fmt.Sprintf("%04X", h.Info))
	}
	if first := s.SegSize.IsStart(at); first != (h.Info&LongHeader != 0) {
		return bad("long header flag", strconv.FormatBool(first), strconv.FormatBool(!first))
	}
	if h.Addr != at {
		return bad("page address", at.String(), h.Addr.String())
	}
	if h.Info&LongHeader == 0 {
		return nil
	}
	if h.System != s.System {
		return bad("system identifier", s.System.String(), h.System.String())
	}
	if uint64(h.SegSize) != uint64(s.SegSize) {
		return bad("segment size", strconv.FormatUint(uint64(s.SegSize), 10), strconv.FormatUint(uint64(h.SegSize), 10))
	}
	if h.PageSize != lsn.PageSize {
		return bad("page size", strconv.Itoa(lsn.PageSize), strconv.FormatUint(uint64(h.PageSize), 10))
	}
	return nil
}
