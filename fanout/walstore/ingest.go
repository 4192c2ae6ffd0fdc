package walstore

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/stamp"
)

// overlapBuffer is the piece in which re-sent WAL is compared: the size of the largest message.
const overlapBuffer = 128 << 10

// ingest is the state of the stream, owned by its goroutine.
type ingest struct {
	checker    walformat.Checker
	started    bool             // StartStream succeeded
	tli        lsn.TimelineID   // of the stream
	left       lsn.LSN          // where an older timeline was left, see startBelow; Invalid: the stream's is not older
	next       lsn.LSN          // where the next message begins; behind received while WAL is re-sent
	framer     walformat.Framer // of what was received
	hash       hashState        // of what was received, from its segment's first byte on
	continuity *continuityCheck // nil: what comes is compared with what is stored, or nothing is
	owed       lsn.Print        // what is owed in the stream's timeline, see expectOwed; zero: nothing is
	hold       lsn.LSN          // what comes is held back up to here; Invalid: nothing is
	block      *block           // the tail's block that holds the received end
	scratch    []byte           // sent and stored bytes of an overlap, made when there is one
}

// AppendFrom takes the WAL of one message: n bytes at at, read from r straight into the tail. They
// are checked and then published as received, all or none.
//
// It waits on r, and, while the disk is behind by the size of the tail, for the disk; ctx ends
// only the latter wait. WAL below the received end (a resumed stream) is compared with what is
// stored, and received does not move.
//
// Errors: *[GapError] (nothing was read from r), *[PageError], *[DivergedError], *[ReplacedError], [ErrMessageSize],
// those of r, [ErrFailed]. After an error the stream is over: r may be in the middle of the message.
func (s *Store) AppendFrom(ctx context.Context, at lsn.LSN, r io.Reader, n int) error {
	if !s.in.started {
		return fmt.Errorf("append WAL: %w: no stream was started", ErrGap)
	}
	if at != s.in.next {
		return &GapError{Expected: s.in.next, Got: at}
	}
	if n < 0 || n > MaxMessage {
		return fmt.Errorf("append WAL: %w: %d bytes, the limit is %d", ErrMessageSize, n, MaxMessage)
	}
	if n == 0 {
		return nil
	}
	if end := at + lsn.LSN(n); s.in.left != lsn.Invalid && end > s.in.left {
		s.in.started = false
		return &GapError{Expected: s.in.left, Got: end}
	}
	if err := s.append(ctx, at, r, n); err != nil {
		s.in.started = false
		return err
	}
	return nil
}

func (s *Store) append(ctx context.Context, at lsn.LSN, r io.Reader, n int) error {
	end := at + lsn.LSN(n)
	s.mu.Lock()
	received, err := s.pos.Received, s.err
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if at < received {
		again := min(end, received)
		if err := s.compare(at, again, r); err != nil {
			return err
		}
		if s.in.next = again; again == end {
			return nil
		}
		at = again
	}
	if err := s.fill(ctx, at, end, r); err != nil {
		return err
	}
	if end < s.in.hold {
		s.in.next = end
		s.heldOwed.Store(uint64(end))
		return nil
	}
	s.in.hold = lsn.Invalid
	return s.take(received, end)
}

// take checks WAL [at, end), which is in the tail and follows what is received, and publishes it. After an error
// nothing of it is received, and the stream is over. Only the stream's goroutine may call it. It waits for no disk.
func (s *Store) take(at, end lsn.LSN) error {
	s.heldOwed.Store(uint64(lsn.Invalid))
	checker, framer := s.in.checker, s.in.framer
	if err := s.checkPages(&checker, &framer, at, end); err != nil {
		return err
	}
	continuity, err := s.in.continuity.check(end)
	if err != nil {
		return err
	}
	if err := s.checkOwed(at, end); err != nil {
		return err
	}
	s.hashReceived(at, end)
	s.in.checker, s.in.framer, s.in.continuity = checker, framer, continuity
	s.in.next = end
	return s.publishReceived(end)
}

// fill reads WAL [at, end) into the tail. It blocks for r, and while the tail has no room. After an error a part of it
// is there, unpublished.
func (s *Store) fill(ctx context.Context, at, end lsn.LSN, r io.Reader) error {
	for at < end {
		b, err := s.blockFor(ctx, at)
		if err != nil {
			return err
		}
		stop := min(end, b.end())
		if _, err := io.ReadFull(r, b.buf[at-b.start:stop-b.start]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("receive WAL at %s: %w", at, err)
		}
		at = stop
	}
	return nil
}

// blockFor gives the block that holds at, adding it to the tail when there is room, and waiting for
// the disk when there is none.
func (s *Store) blockFor(ctx context.Context, at lsn.LSN) (*block, error) {
	if b := s.in.block; b != nil && at >= b.start && at < b.end() {
		return b, nil
	}
	s.mu.Lock()
	b := s.tail.find(at)
	s.mu.Unlock()
	if b == nil {
		b = newBlock(at) // outside the lock: clearing memory takes a while
		if err := s.addBlock(ctx, b); err != nil {
			return nil, err
		}
	}
	s.in.block = b
	return b, nil
}

func (s *Store) addBlock(ctx context.Context, b *block) error {
	defer func() {
		s.mu.Lock()
		s.paused = false
		s.mu.Unlock()
	}()
	for {
		s.mu.Lock()
		if err := s.err; err != nil {
			s.mu.Unlock()
			return err
		}
		if s.tail.makeRoom(s.pos.Written) {
			s.tail.add(b)
			s.mu.Unlock()
			return nil
		}
		s.paused = true
		s.mu.Unlock()
		select {
		case <-s.spaceC:
		case <-s.failed:
		case <-ctx.Done():
			return fmt.Errorf("wait for the disk: %w", context.Cause(ctx))
		}
	}
}

// checkPages checks every page header that [at, end) completes, and that zeros go on being zeros. What lies
// behind an XLOG_SWITCH is not WAL and becomes zeros (ruling R37): a primary that crashed while it wrote them
// has other bytes there.
func (s *Store) checkPages(c *walformat.Checker, f *walformat.Framer, at, end lsn.LSN) error {
	for at < end {
		page := at.PageStart()
		stop := min(end, page+lsn.PageSize)
		b, first := s.streamBytes(at, stop), lsn.LSN(c.Source.HeaderLenAt(page))
		switch {
		case f.Switched() && !c.Source.SegSize.IsStart(at):
		case at < page+first && stop >= page+first:
			if err := c.Page(page, s.in.tli, s.streamBytes(page, stop)); err != nil {
				return err
			}
		case at >= page+first && c.Zeros() && !walformat.IsZero(b):
			return walformat.NotZeros(page)
		}
		clear(b[f.Take(at, b):])
		at = stop
	}
	return nil
}

// streamBytes gives bytes within one page of the tail, published or not. Only the stream's
// goroutine adds blocks or writes into them.
func (s *Store) streamBytes(from, to lsn.LSN) []byte {
	b := s.streamBlock(from)
	return b.buf[from-b.start : to-b.start]
}

func (s *Store) streamBlock(at lsn.LSN) *block {
	if b := s.in.block; at >= b.start {
		return b
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tail.find(at)
}

func (s *Store) publishReceived(end lsn.LSN) error {
	s.mu.Lock()
	if err := s.err; err != nil {
		s.mu.Unlock()
		return err
	}
	stamp.At(stamp.Published, end)
	s.pos.Received = end
	s.pos.Complete = max(s.pos.Complete, s.in.framer.Complete())
	s.mu.Unlock()
	s.writeC.Wake()
	s.watch.Nudge(MovedReceived)
	return nil
}

// compare reads WAL [at, end) that is stored already and checks that it is the same: a *[DivergedError] or
// *[ReplacedError] says that it is not.
func (s *Store) compare(at, end lsn.LSN, r io.Reader) error {
	if s.in.scratch == nil {
		s.in.scratch = make([]byte, 2*overlapBuffer)
	}
	for at < end {
		n := min(end-at, overlapBuffer)
		sent, stored := s.in.scratch[:n], s.in.scratch[overlapBuffer:overlapBuffer+n]
		if _, err := io.ReadFull(r, sent); err != nil {
			return fmt.Errorf("receive WAL at %s: %w", at, err)
		}
		if err := s.readStored(at, stored); err != nil {
			return err
		}
		if err := s.same(at, sent, stored); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// same compares WAL at at that was sent with what is stored there. What lies behind an XLOG_SWITCH is not WAL.
func (s *Store) same(at lsn.LSN, sent, stored []byte) error {
	d, differs, err := s.difference(at, sent, stored)
	if err == nil && differs {
		err = s.differs(d)
	}
	return err
}

// difference compares WAL that was sent at at with the stored bytes, and returns the first position at which they
// differ. Bytes behind an XLOG_SWITCH are no WAL, and may differ (ruling R37). It may read the disk.
func (s *Store) difference(at lsn.LSN, sent, stored []byte) (d lsn.LSN, differs bool, err error) {
	for !bytes.Equal(sent, stored) {
		n := firstDifference(sent, stored)
		f, err := s.frameAt(at + n)
		if err != nil {
			return 0, false, err
		}
		if !f.Switched() {
			return at + n, true, nil
		}
		n = min(s.segs.size.Floor(at+n)+s.segLen()-at, lsn.LSN(len(sent)))
		at, sent, stored = at+n, sent[n:], stored[n:]
	}
	return 0, false, nil
}

func firstDifference(a, b []byte) lsn.LSN {
	for i := range a {
		if a[i] != b[i] {
			return lsn.LSN(i)
		}
	}
	return lsn.LSN(len(a))
}
