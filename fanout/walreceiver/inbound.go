package walreceiver

import (
	"context"
	"fmt"
	"time"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/stamp"
)

// inbound takes messages off the wire and WAL into the store. It belongs to the reader.
type inbound struct {
	conn     Conn
	store    Store
	live     *live
	reported func()       // after a ParameterStatus or a notice
	begin    func() error // before the first WAL; nil once called
	expected lsn.LSN
	// same is called once, when all stored WAL that is sent again, up to stored, was found to be the same.
	same   func()
	stored lsn.LSN
	ends   func(at lsn.LSN) bool // see Copy
}

// Read gives the store its WAL, each piece of which is a sign of life.
func (in *inbound) Read(p []byte) (int, error) {
	n, err := in.conn.Read(p)
	if n > 0 {
		in.live.hear()
	}
	return n, err
}

// step handles one message. ErrTimelineEnded is the orderly end, every other error is final too.
func (in *inbound) step(ctx context.Context) error {
	m, err := in.conn.Receive()
	if err != nil {
		return err
	}
	in.live.hear()
	switch m.Kind {
	case 'w':
		return in.wal(ctx, m)
	case 'k':
		in.live.got(m.WALEnd)
		if m.WantReply {
			in.live.ping(m.WALEnd)
		}
		return in.endHold()
	case 'c':
		return ErrTimelineEnded
	case 'C':
		return fmt.Errorf("%w (%s)", ErrUpstreamShutdown, m.body)
	case 'E':
		return m.Refusal
	}
	in.reported()
	return nil
}

// wal moves one message's WAL into the store. It blocks while the store has no room, until ctx ends at most. WAL that
// does not continue what came before it is [ErrProtocol]; other errors are the store's and the connection's.
func (in *inbound) wal(ctx context.Context, m Message) error {
	if m.Start != in.expected {
		return fmt.Errorf("%w: %w", ErrProtocol, &walstore.GapError{Expected: in.expected, Got: m.Start})
	}
	if m.Size > 0 {
		if err := in.begun(); err != nil {
			return err
		}
		if err := in.store.AppendFrom(ctx, m.Start, in, m.Size); err != nil {
			return err
		}
	}
	end := m.Start + lsn.LSN(m.Size)
	m.arrival.At(stamp.Readable, stamp.Read, stamp.Who{}, end)
	in.expected = end
	in.compared()
	if end > in.live.receivedEnd() {
		in.live.received.Store(uint64(end))
	}
	in.live.totals.bytes.Add(uint64(m.Size))
	in.live.arrivals.came(end, time.Since(in.live.begin))
	in.live.got(m.WALEnd)
	// The store may have moved, and woken the reporter, before received did. Written is read after
	// received was set, so either the reporter saw the new received or this wakes it.
	if in.store.Positions().Written >= end {
		in.live.wake()
	}
	return in.endHold()
}

// endHold stores the WAL that is held back where the sender has no more: no record there would end the hold. The store
// goes on owing it.
func (in *inbound) endHold() error {
	if in.begin != nil || in.ends == nil || in.store.HeldOwed() == lsn.Invalid || !in.ends(in.expected) {
		return nil
	}
	return in.store.EndHold()
}

// compared calls same once the server has proven that it has the stored WAL.
func (in *inbound) compared() {
	if in.same != nil && in.expected >= in.stored {
		in.same()
		in.same = nil
	}
}

func (in *inbound) begun() error {
	if in.begin == nil {
		return nil
	}
	begin := in.begin
	in.begin = nil
	return begin()
}
