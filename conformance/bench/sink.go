package bench

import (
	"context"
	"time"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// sink is a receiver that says of all WAL, as soon as it has it, that it is written, flushed and applied. So it is a
// standby that costs nothing. What one read brings gets one reply.
type sink struct {
	*receiver
	times    bool // whether it notes arrivals
	arrivals []arrival
}

// arrival tells when a sink had all WAL up to a position.
type arrival struct {
	at   lsn.LSN
	when time.Time
}

// connectSink begins to stream at start under a name.
func connectSink(ctx context.Context, conninfo, name string, start lsn.LSN) (*sink, error) {
	r, err := connectReceiver(ctx, conninfo, name, start)
	if err != nil {
		return nil, err
	}
	r.flushed = start
	return &sink{receiver: r}, r.reply()
}

// run drains until the connection ends.
func (s *sink) run() error {
	for {
		tag, asked, err := s.next()
		if err != nil {
			return err
		}
		if s.times && tag == copyboth.TagXLogData {
			s.arrivals = append(s.arrivals, arrival{s.at, time.Now()})
		}
		if asked || tag == copyboth.TagXLogData && s.r.Buffered() == 0 {
			s.flushed = s.at
			if err := s.reply(); err != nil {
				return err
			}
		}
	}
}
