package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// sink is a receiver that says of all WAL, as soon as it has it, that it is written, flushed and applied. So it is a
// standby that costs nothing. What one read brings gets one reply.
type sink struct{ *receiver }

// connectSink begins to stream at start under a name.
func connectSink(ctx context.Context, conninfo, name string, start lsn.LSN) (*sink, error) {
	r, err := connectReceiver(ctx, conninfo, name, start)
	if err != nil {
		return nil, err
	}
	r.flushed = start
	return &sink{r}, r.reply()
}

// run drains until the connection ends.
func (s *sink) run() error {
	var head [copyboth.XLogDataHeaderSize]byte
	for {
		h, err := s.r.Next()
		if err != nil {
			return fmt.Errorf("read at %s: %w", s.at, err)
		}
		if h.Type != 'd' {
			body, err := s.r.Body(h.Size, readBuffer)
			if h.Type == 'E' || err != nil {
				return fmt.Errorf("stream ended: %q", body)
			}
			continue
		}
		b := head[:min(h.Size, len(head))]
		if _, err := io.ReadFull(s.r, b); err != nil {
			return err
		}
		if err := s.r.Discard(h.Size - len(b)); err != nil {
			return err
		}
		if b[0] == copyboth.TagXLogData {
			s.at = lsn.LSN(binary.BigEndian.Uint64(b[1:])) + lsn.LSN(h.Size-len(b))
		}
		asked := b[0] == copyboth.TagPrimaryKeepalive && b[len(b)-1] == 1
		if asked || b[0] == copyboth.TagXLogData && s.r.Buffered() == 0 {
			s.flushed = s.at
			if err := s.reply(); err != nil {
				return err
			}
		}
	}
}
