package walreceiver

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/grammar/pgerror"
	"github.com/replproxy/replproxy/internal/stamp"
	"github.com/replproxy/replproxy/internal/wire"
)

// maxControlMessage bounds every message of a stream that carries no WAL, in bytes.
const maxControlMessage = 1 << 20

// What can end a stream, beside errors of the network and the store.
var (
	// ErrProtocol: the upstream sent what no walsender sends.
	ErrProtocol = errors.New("protocol violation by the upstream walsender")
	// ErrUpstreamShutdown: the server is shutting down and has sent everything.
	ErrUpstreamShutdown = errors.New("replication terminated by primary server")
	// ErrTimeout: nothing came for wal_receiver_timeout.
	ErrTimeout = errors.New("terminating walreceiver due to timeout")
)

// Message is one message of a walsender.
type Message struct {
	arrival   stamp.Arrival
	Kind      byte // 'w', 'k', or the frame's type: 'c', 'C', 'E', 'S', 'N'
	Start     lsn.LSN
	Size      int // bytes of WAL that still wait in the reader ('w')
	WALEnd    lsn.LSN
	WantReply bool
	body      []byte // 'S', 'N', 'C'; valid until the next read
	Refusal   *pgerror.Error
}

// readMessage reads one message, except for the WAL of a 'w', which the caller takes from r.
func readMessage(r *wire.Reader) (Message, error) {
	h, err := r.Next()
	if err != nil {
		return Message{}, err
	}
	if h.Type == 'd' {
		return readCopyData(r, h.Size)
	}
	body, err := r.Body(h.Size, maxControlMessage)
	if err != nil {
		return Message{}, err
	}
	m := Message{Kind: h.Type, body: body}
	switch h.Type {
	case 'c', 'S', 'N':
	case 'C':
		m.body = bytes.TrimSuffix(body, []byte{0})
	case 'E':
		e, ok := wire.ParseError(body)
		if !ok {
			return Message{}, fmt.Errorf("%w: malformed ErrorResponse", ErrProtocol)
		}
		m.Refusal = e
	default:
		return Message{}, fmt.Errorf("%w: unexpected message type %q", ErrProtocol, h.Type)
	}
	return m, nil
}

// readCopyData reads the fixed part of a replication message of size bytes; the WAL of 'w', Message.Size bytes, is
// still to be read. Any other tag or size is [ErrProtocol].
func readCopyData(r *wire.Reader, size int) (Message, error) {
	head, err := r.Body(min(size, copyboth.XLogDataHeaderSize), copyboth.XLogDataHeaderSize)
	if err != nil {
		return Message{}, err
	}
	switch {
	case len(head) > 0 && head[0] == copyboth.TagXLogData:
		x, err := copyboth.DecodeXLogData(head)
		if err != nil {
			return Message{}, fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		n := size - copyboth.XLogDataHeaderSize
		if n > walstore.MaxMessage {
			return Message{}, fmt.Errorf("%w: %d bytes of WAL in one message", ErrProtocol, n)
		}
		if uint64(x.Start) > math.MaxUint64-uint64(n) {
			return Message{}, fmt.Errorf("%w: %d bytes of WAL at %s", ErrProtocol, n, x.Start)
		}
		return Message{Kind: 'w', Start: x.Start, Size: n, WALEnd: x.WALEnd}, nil
	case size == copyboth.PrimaryKeepaliveSize && head[0] == copyboth.TagPrimaryKeepalive:
		k, err := copyboth.DecodePrimaryKeepalive(head)
		if err != nil {
			return Message{}, fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		return Message{Kind: 'k', WALEnd: k.WALEnd, WantReply: k.ReplyRequested}, nil
	case len(head) == 0:
		return Message{}, fmt.Errorf("%w: empty replication message", ErrProtocol)
	case head[0] == copyboth.TagPrimaryKeepalive:
		return Message{}, fmt.Errorf("%w: keepalive of %d bytes", ErrProtocol, size)
	}
	return Message{}, fmt.Errorf("%w: invalid replication message type %d", ErrProtocol, head[0])
}
