package walreceiver

import (
	"context"
	"io"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/wire"
)

func fail(severity, code, message string) []byte {
	return wire.AppendFrame(nil, 'E', []byte("S"+severity+"\x00V"+severity+"\x00C"+code+"\x00M"+message+"\x00\x00"))
}

func xlog(start lsn.LSN, data string) []byte {
	m := copyboth.XLogData{Start: start, WALEnd: start + lsn.LSN(len(data))}
	return wire.AppendFrame(nil, 'd', append(m.AppendHeader(nil), data...))
}

func keepalive(end lsn.LSN, reply bool) []byte {
	return wire.AppendFrame(nil, 'd', copyboth.PrimaryKeepalive{WALEnd: end, ReplyRequested: reply}.Append(nil))
}

// promises is the part of a store that keeps what was promised.
type promises struct {
	Store
	pos      walstore.Positions
	promised lsn.LSN
	timeline lsn.TimelineID // of promised
	fails    error
	fsyncs   int
}

func (m *promises) Positions() walstore.Positions { return m.pos }
func (m *promises) Paused() bool                  { return false }
func (m *promises) EndHold() error                { return nil }
func (m *promises) Promised() walstore.Promise    { return walstore.Promise{At: m.promised} }

func (m *promises) SetPromised(p lsn.LSN) error {
	if m.fails != nil {
		return m.fails
	}
	m.promised, m.timeline = p, m.pos.Timeline
	m.fsyncs++
	return nil
}

// unlimited returns the limits of a report without a rule: the store's own positions, and apply 0 (ruling R24).
func unlimited() lsn.Progress { return lsn.Progress{Write: noLimit, Flush: noLimit} }

// repeat reads the same bytes for ever.
type repeat struct {
	msg []byte
	at  int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := copy(p, r.msg[r.at:])
	r.at = (r.at + n) % len(r.msg)
	return n, nil
}

// nullStore takes everything and keeps nothing.
type nullStore struct {
	Store
	buf []byte
}

func (nullStore) Positions() walstore.Positions { return walstore.Positions{Timeline: 1} }

func (s nullStore) AppendFrom(_ context.Context, _ lsn.LSN, r io.Reader, n int) error {
	for n > 0 {
		k, err := r.Read(s.buf[:min(n, len(s.buf))])
		if err != nil {
			return err
		}
		n -= k
	}
	return nil
}
