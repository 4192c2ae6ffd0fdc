package walformat

import (
	"fmt"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Checker follows a stream page by page. It knows what a single header can't tell: that timelines
// never go down, and that zeros, once begun, last to the segment's end (as after an XLOG_SWITCH).
// The zero Checker with a Source is ready; a copy is a snapshot, so a caller can check first and
// keep the result only when the whole message was good.
type Checker struct {
	Source Source
	last   lsn.TimelineID // of the page before
	zeros  bool           // the page before was zero
}

// Resume sets the state from the header bytes of the page before the next one to check, which was
// checked when it was stored.
func (c *Checker) Resume(header []byte) {
	h, err := ParseHeader(header)
	if c.zeros = err == nil && IsZero(header[:ShortHeaderLen]); err == nil && !c.zeros {
		c.last = h.Timeline
	}
}

// Zeros reports whether the stream is inside the zeros after an XLOG_SWITCH.
func (c *Checker) Zeros() bool { return c.zeros }

// Page checks the page that starts at at and is streamed as timeline tli. page holds the page from
// its first byte as far as it is known, at least the header. The error is a *[PageError].
func (c *Checker) Page(at lsn.LSN, tli lsn.TimelineID, page []byte) error {
	first := c.Source.SegSize.IsStart(at)
	if first {
		c.zeros = false
	}
	if c.zeros || !first && IsZero(page[:ShortHeaderLen]) {
		if !IsZero(page) {
			return NotZeros(at)
		}
		c.zeros = true
		return nil
	}
	h, err := ParseHeader(page)
	if err != nil {
		return &PageError{LSN: at, Field: "header", Expected: "whole", Got: fmt.Sprintf("%d bytes", len(page))}
	}
	if err := c.Source.Check(at, &h); err != nil {
		return err
	}
	if h.Timeline < c.last || h.Timeline > tli || h.Timeline == 0 {
		return &PageError{LSN: at, Field: "timeline", Got: h.Timeline.String(),
			Expected: fmt.Sprintf("between %d and %d", max(c.last, 1), tli)}
	}
	c.last = h.Timeline
	return nil
}

// NotZeros returns the error for bytes in the page at at, behind zeros that must last.
func NotZeros(at lsn.LSN) error {
	return &PageError{LSN: at, Field: "content", Expected: "zeros up to the end of the segment", Got: "other bytes"}
}

// IsZero reports whether all of b is zero.
func IsZero(b []byte) bool {
	for len(b) >= 8 {
		if b[0]|b[1]|b[2]|b[3]|b[4]|b[5]|b[6]|b[7] != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
