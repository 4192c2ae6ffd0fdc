package walsender

import (
	"errors"
	"fmt"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/stamp"
)

// act writes the messages that the core decided on, and blocks as the frame writer does. After an error the session is
// over.
func (s *Sender) act(a action) error {
	switch a.kind {
	case doSend:
		return s.send(a.limit)
	case doKeepalive:
		now := copyboth.TimeOf(time.Now())
		k := copyboth.PrimaryKeepalive{WALEnd: s.position(), SentAt: now, ReplyRequested: a.ping}
		var b [copyboth.PrimaryKeepaliveSize]byte
		if err := s.out.frame('d', k.Append(b[:0])); err != nil {
			return err
		}
	case doCopyDone:
		if err := s.out.frame('c', nil); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.core.wrote(time.Now())
	return nil
}

func (s *Sender) position() lsn.LSN {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.core.sent
}

// send writes the next message. One per system call: several in one writev measured no better, since
// whatever is pending fills messages of the largest size.
func (s *Sender) send(limit lsn.LSN) error {
	s.who.At(stamp.SenderWoken, limit)
	err := s.open()
	var c walstore.Chunk
	if err == nil {
		c, err = s.reader.Next(limit, maxPayload)
	}
	if (err != nil || c.Len() == 0) && s.outdated(limit) {
		return nil // the timeline was left below what was just decided: decide again
	}
	if err != nil {
		if p := (*PendingError)(nil); errors.As(err, &p) {
			return s.await(p.Done)
		}
		return err
	}
	if c.Len() == 0 {
		return fmt.Errorf("%w: no WAL below the limit %s", ErrInvariant, limit)
	}
	s.mu.Lock()
	s.core.sends(c.End)
	s.mu.Unlock()
	if err := s.out.wal(&c, limit, copyboth.TimeOf(time.Now())); err != nil {
		return err
	}
	s.who.At(stamp.Sent, c.End)
	s.countSent(c.Len())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += uint64(c.Len())
	if c.File != nil {
		s.fromDisk += uint64(c.Len())
	}
	return s.core.sentWAL(c.Start, c.End, limit, time.Now())
}

// finish writes the last word of a stream and turns what ended it into Run's answer. err ended the stream, nil: act
// did.
func (s *Sender) finish(act action, err error) error {
	if err == nil {
		err = act.err
	}
	if err == nil && act.drained {
		why := "drained"
		if !s.core.doneSent {
			if err := s.out.frame('C', []byte("COPY 0\x00")); err != nil {
				why = err.Error()
			}
		}
		return fmt.Errorf("%w: %s", ErrSessionOver, why)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrSessionOver):
		return err
	case errors.Is(err, ErrTimeout), s.out.partial:
		return fmt.Errorf("%w: %w", ErrSessionOver, err)
	case s.inside != nil && !errors.Is(err, s.inside): // though err may be an ERROR
		return fmt.Errorf("%w: %w", s.inside, err)
	}
	return err
}
