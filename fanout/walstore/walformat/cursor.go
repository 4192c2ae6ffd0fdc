package walformat

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// cursor reads the bytes of one record, stepping over the page headers in between.
type cursor struct {
	w           *Walker
	at          lsn.LSN
	begin       lsn.LSN // what the walk's end would be if the record is not valid
	head        [RecordHeaderLen]byte
	overwritten lsn.LSN // the page that says that this record was given up
}

// header reads the record header. It may lie on two pages, its length field never does. The memory is good until the
// next call. An *[EndError] says that the walk ends.
func (c *cursor) header() ([]byte, error) {
	part, err := c.take(RecordHeaderLen)
	if err != nil {
		return nil, err
	}
	n := copy(c.head[:], part)
	if n == RecordHeaderLen {
		return c.head[:], nil
	}
	length := ParseRecordHeader(c.head[:]).Length // its other fields are not there yet
	if length < RecordHeaderLen {
		return nil, &EndError{At: c.begin, Reason: ErrRecord, Detail: fmt.Sprintf("length %d", length)}
	}
	if err := c.turn(length - uint32(n)); err != nil || c.overwritten != 0 {
		return nil, err
	}
	part, err = c.take(uint32(RecordHeaderLen - n))
	if err != nil {
		return nil, err
	}
	copy(c.head[n:], part)
	return c.head[:], nil
}

// sum reads n bytes and returns their CRC-32C; 0 where the record was overwritten. An *[EndError] says that the walk
// ends.
func (c *cursor) sum(n uint32) (uint32, error) {
	var crc uint32
	for n > 0 {
		if c.at.IsPageStart() {
			if err := c.turn(n); err != nil || c.overwritten != 0 {
				return 0, err
			}
		}
		part, err := c.take(n)
		if err != nil {
			return 0, err
		}
		crc = crc32.Update(crc, castagnoli, part)
		n -= uint32(len(part))
	}
	return crc, nil
}

// take gives the next bytes on this page, at most n, and moves on. All that PostgreSQL has on the
// page must exist: fewer is the end of the walk.
func (c *cursor) take(n uint32) ([]byte, error) {
	start := c.at.PageStart()
	page, err := c.w.bytes(start)
	if err != nil {
		return nil, err
	}
	off := c.at.PageOffset()
	want := min(int(n), lsn.PageSize-off)
	if len(page) < off+want {
		return nil, c.w.short(c.begin, "at "+(start+lsn.LSN(len(page))).String())
	}
	c.at += lsn.LSN(want)
	return page[off : off+want], nil
}

// turn steps over the header of the page at which the record goes on for rest more bytes.
func (c *cursor) turn(rest uint32) error {
	_, h, err := c.w.page(c.at)
	if err != nil {
		return err
	}
	if h.Info&FirstIsContRecord == 0 {
		if h.Info&FirstIsOverwriteContRecord != 0 {
			c.overwritten = c.at
			return nil
		}
		return &EndError{At: c.begin, Reason: ErrPages, Detail: fmt.Sprintf("no continuation at %s", c.at)}
	}
	if h.RemLen != rest {
		return &EndError{At: c.begin, Reason: ErrPages,
			Detail: fmt.Sprintf("rem_len %d at %s, expected %d", h.RemLen, c.at, rest)}
	}
	c.at += lsn.LSN(h.Len())
	return nil
}

// sourceError makes the end of the source an end of the walk and leaves other errors alone.
func (w *Walker) sourceError(err error) error {
	if errors.Is(err, io.EOF) {
		return w.short(w.pos, "no more pages")
	}
	return err
}
