package walformat

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Framer follows records by their lengths, without reading them. It knows at any moment where the last complete record
// ends (ruling R36), and where WAL ends because of an XLOG_SWITCH (ruling R37). The bytes are handed over in order, in
// pieces of any size within a page. The zero Framer with a Source may begin at any page; a copy is a snapshot. It
// allocates nothing and looks at the headers only, so a stream can hand them over.
//
// No checksum is read but that of an XLOG_SWITCH. Bytes that are no WAL make the Framer lost until the next page from
// which it can go on. While it is lost every position counts as the end of a record.
type Framer struct {
	Source Source

	at       lsn.LSN // where the next bytes begin
	complete lsn.LSN // Invalid: no record's end was seen yet
	state    framing
	rest     uint32                // bytes of the record still to come, padding included
	pad      uint32                // of rest
	got      int                   // bytes in head
	head     [RecordHeaderLen]byte // of the record that begins
	page     [LongHeaderLen]byte   // of the page
}

type framing uint8

const (
	frameNowhere  framing = iota // before the first page
	frameHeader                  // in or before a record's header
	frameData                    // in a record's data, or its padding
	frameSwitched                // behind an XLOG_SWITCH, up to the segment's end
	frameLost
)

// Complete returns the end of the last complete record at or below what was taken; behind an XLOG_SWITCH the end of its
// segment once that was taken. Invalid: there was none yet.
func (f *Framer) Complete() lsn.LSN {
	if f.state != frameLost {
		return f.complete
	}
	if start := f.at.PageStart(); f.at.PageOffset() < f.Source.HeaderLenAt(start) {
		return start // a header that is not whole yet may lead back
	}
	return f.at
}

// Lost reports whether what was taken last is in no record that the Framer knows of.
func (f *Framer) Lost() bool { return f.state == frameLost || f.state == frameNowhere }

// Switched reports whether the next byte lies behind an XLOG_SWITCH: up to the end of its segment there is no WAL.
func (f *Framer) Switched() bool { return f.state == frameSwitched }

// Take takes the bytes at at, which follow those taken before and lie within one page, and says how many of them
// are WAL: what follows lies behind an XLOG_SWITCH.
func (f *Framer) Take(at lsn.LSN, b []byte) (wal int) {
	end := at + lsn.LSN(len(b))
	f.at = at
	if f.state == frameSwitched && !f.Source.SegSize.IsStart(at) {
		f.skip(end)
		return 0
	}
	if f.Source.SegSize.IsStart(at) && f.state == frameSwitched {
		f.state = frameHeader
	}
	rest, whole := f.pageHeader(b)
	if !whole {
		f.at = end
		return len(b)
	}
	for len(rest) > 0 && f.state != frameLost {
		if f.state == frameHeader && f.got == 0 {
			rest = f.records(rest)
		} else {
			rest = f.record(rest)
		}
		if f.state == frameSwitched {
			f.skip(end)
			return len(b) - len(rest)
		}
	}
	f.at = end
	return len(b)
}

// skip moves on to to, a segment's start, over the zeros behind an XLOG_SWITCH, which are not looked at.
func (f *Framer) skip(to lsn.LSN) {
	if f.at = to; f.Source.SegSize.IsStart(to) {
		f.complete, f.state = to, frameHeader
	}
}

// pageHeader takes the bytes of the page's header from b and gives the rest; false: the header goes on.
func (f *Framer) pageHeader(b []byte) (rest []byte, whole bool) {
	start, off := f.at.PageStart(), f.at.PageOffset()
	length := f.Source.HeaderLenAt(start)
	if off >= length {
		if f.state == frameNowhere {
			f.state = frameLost
		}
		return b, true
	}
	n := copy(f.page[off:length], b)
	if off+n < length {
		return nil, false
	}
	f.turn(start, f.page[:length])
	f.at += lsn.LSN(n)
	return b[n:], true
}

// turn looks at the header of a page: whether it goes on with the record that the page before left.
func (f *Framer) turn(start lsn.LSN, header []byte) {
	h, err := ParseHeader(header)
	if err == nil {
		err = f.Source.Check(start, &h)
	}
	if err != nil {
		f.state = frameLost
		return
	}
	var open uint32 // bytes of a record that must go on here
	switch {
	case f.state == frameData:
		open = f.rest - f.pad
	case f.state == frameHeader && f.got > 0:
		open = ParseRecordHeader(f.head[:]).Length - uint32(f.got)
	}
	goesOn := h.Info&FirstIsContRecord != 0
	switch {
	case goesOn && open > 0 && h.RemLen == open:
		return
	case !goesOn && open > 0 && h.Info&FirstIsOverwriteContRecord != 0:
		f.state, f.got = frameHeader, 0 // it was given up
		return
	case !goesOn && open == 0 && f.state == frameHeader:
		return
	}
	f.resume(start, &h)
}

// resume begins anew with the page at start.
func (f *Framer) resume(start lsn.LSN, h *Header) {
	goesOn := h.Info&FirstIsContRecord != 0
	if f.state == frameLost || f.complete != lsn.Invalid || !goesOn && h.Info&FirstIsOverwriteContRecord == 0 {
		f.complete = start // what was before is not known: all of it counts
	}
	f.got = 0
	if !goesOn {
		f.state = frameHeader
		return
	}
	if f.rest = uint32(align(lsn.LSN(h.RemLen))); f.rest < h.RemLen || h.RemLen == 0 {
		f.state = frameLost
		return
	}
	f.pad, f.state = f.rest-h.RemLen, frameData
}

// records steps over the records that are whole in b, and into the one after them.
func (f *Framer) records(b []byte) []byte {
	at, i := f.at, 0
	for len(b)-i > RecordHeaderLen {
		length := binary.LittleEndian.Uint32(b[i:])
		n := (length + recordAlignment - 1) &^ (recordAlignment - 1)
		if length <= RecordHeaderLen || n < length || int(n) > len(b)-i {
			break // the others are looked at in more detail
		}
		i += int(n)
		f.complete = at + lsn.LSN(i)
	}
	f.at = at + lsn.LSN(i)
	if b = b[i:]; len(b) > 0 {
		return f.record(b)
	}
	return b
}

// record takes bytes of one record from b, which has some, and gives the rest.
func (f *Framer) record(b []byte) []byte {
	if f.state == frameData {
		n := min(f.rest, uint32(len(b)))
		if f.rest -= n; f.rest == 0 {
			f.end(f.at + lsn.LSN(n))
		}
		f.at += lsn.LSN(n)
		return b[n:]
	}
	n := copy(f.head[f.got:], b)
	f.got += n
	f.at += lsn.LSN(n)
	if f.got == RecordHeaderLen {
		f.begin()
	} else if f.got >= 4 && ParseRecordHeader(f.head[:]).Length < RecordHeaderLen {
		f.state = frameLost
	}
	return b[n:]
}

// begin looks at a record header that is complete; at is behind it.
func (f *Framer) begin() {
	r := ParseRecordHeader(f.head[:])
	length := uint32(align(lsn.LSN(r.Length)))
	if r.Length < RecordHeaderLen || length < r.Length {
		f.state = frameLost
		return
	}
	if f.rest, f.pad = length-RecordHeaderLen, length-r.Length; f.rest > 0 {
		f.state = frameData
		return
	}
	f.end(f.at)
	if r.IsSwitch() && soundHeader(f.head, r.CRC) && !f.Source.SegSize.IsStart(f.at) {
		f.state = frameSwitched
	}
}

// soundHeader checks a record that is its header. It takes a copy, for what is checksummed goes to the heap.
func soundHeader(head [RecordHeaderLen]byte, crc uint32) bool {
	return crc32.Checksum(head[:crcOffset], castagnoli) == crc
}

// end notes the end of a record.
func (f *Framer) end(at lsn.LSN) { f.complete, f.state, f.got = at, frameHeader, 0 }
