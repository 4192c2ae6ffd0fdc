package copyboth

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// The first byte of each payload.
const (
	TagXLogData           = 'w'
	TagPrimaryKeepalive   = 'k'
	TagStatusUpdate       = 'r'
	TagHotStandbyFeedback = 'h'
)

// Sizes of the payloads in bytes, tag included. XLogData adds its data to the header.
const (
	XLogDataHeaderSize     = 25
	PrimaryKeepaliveSize   = 18
	StatusUpdateSize       = 34
	HotStandbyFeedbackSize = 25
)

// ErrMessage reports a payload of a known kind whose length or tag is wrong.
var ErrMessage = errors.New("invalid replication message")

func wrongSize(kind string, got, want int) error {
	return fmt.Errorf("%w: %s of %d bytes, expected %d", ErrMessage, kind, got, want)
}

// pgEpoch is 2000-01-01 00:00 UTC in Unix microseconds.
const pgEpoch = 946684800 * 1_000_000

// Time is an instant in replication messages: microseconds since 2000-01-01 00:00 UTC.
type Time int64

// TimeOf converts t, dropping what is below a microsecond.
func TimeOf(t time.Time) Time { return Time(t.UnixMicro() - pgEpoch) }

// Time converts back, in UTC.
func (t Time) Time() time.Time { return time.UnixMicro(int64(t) + pgEpoch).UTC() }

// XLogData carries WAL: Data is the bytes [Start, Start+len(Data)). WALEnd is the position up to which the sender
// could send now, not the end of this message (facts E2).
type XLogData struct {
	Start, WALEnd lsn.LSN
	SentAt        Time
	Data          []byte
}

// AppendHeader appends the 25 bytes that precede the data; the data itself travels uncopied.
func (m XLogData) AppendHeader(b []byte) []byte {
	b = append(b, TagXLogData)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Start))
	b = binary.BigEndian.AppendUint64(b, uint64(m.WALEnd))
	return binary.BigEndian.AppendUint64(b, uint64(m.SentAt))
}

// DecodeXLogData reads a whole payload; Data aliases p. A header alone (no data) is legal. A shorter one, or another
// tag, is an error.
func DecodeXLogData(p []byte) (XLogData, error) {
	if len(p) < XLogDataHeaderSize || p[0] != TagXLogData {
		return XLogData{}, wrongSize("XLogData", len(p), XLogDataHeaderSize)
	}
	return XLogData{
		Start:  lsn.LSN(binary.BigEndian.Uint64(p[1:])),
		WALEnd: lsn.LSN(binary.BigEndian.Uint64(p[9:])),
		SentAt: Time(binary.BigEndian.Uint64(p[17:])),
		Data:   p[XLogDataHeaderSize:],
	}, nil
}

// PrimaryKeepalive says that the walsender lives. WALEnd is the next byte it would send: it is
// never a position that the receiver has (invariant: a keepalive's WAL end is no received position).
type PrimaryKeepalive struct {
	WALEnd         lsn.LSN
	SentAt         Time
	ReplyRequested bool
}

// Append appends the payload.
func (m PrimaryKeepalive) Append(b []byte) []byte {
	b = append(b, TagPrimaryKeepalive)
	b = binary.BigEndian.AppendUint64(b, uint64(m.WALEnd))
	b = binary.BigEndian.AppendUint64(b, uint64(m.SentAt))
	return append(b, flag(m.ReplyRequested))
}

// DecodePrimaryKeepalive reads a payload of exactly [PrimaryKeepaliveSize] bytes, tag included. Another size or tag is
// an error.
func DecodePrimaryKeepalive(p []byte) (PrimaryKeepalive, error) {
	if len(p) != PrimaryKeepaliveSize || p[0] != TagPrimaryKeepalive {
		return PrimaryKeepalive{}, wrongSize("keepalive", len(p), PrimaryKeepaliveSize)
	}
	return PrimaryKeepalive{
		WALEnd:         lsn.LSN(binary.BigEndian.Uint64(p[1:])),
		SentAt:         Time(binary.BigEndian.Uint64(p[9:])),
		ReplyRequested: p[17] != 0,
	}, nil
}

// StatusUpdate reports a standby's positions, each "last byte + 1", 0 for none. write may be below flush and may go
// backward after a reconnect (facts F3).
type StatusUpdate struct {
	lsn.Progress
	SentAt         Time
	ReplyRequested bool
}

// Append appends the payload.
func (m StatusUpdate) Append(b []byte) []byte {
	b = append(b, TagStatusUpdate)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Write))
	b = binary.BigEndian.AppendUint64(b, uint64(m.Flush))
	b = binary.BigEndian.AppendUint64(b, uint64(m.Apply))
	b = binary.BigEndian.AppendUint64(b, uint64(m.SentAt))
	return append(b, flag(m.ReplyRequested))
}

// DecodeStatusUpdate reads a payload of exactly [StatusUpdateSize] bytes, tag included. Another size or tag is an
// error.
func DecodeStatusUpdate(p []byte) (StatusUpdate, error) {
	if len(p) != StatusUpdateSize || p[0] != TagStatusUpdate {
		return StatusUpdate{}, wrongSize("standby status update", len(p), StatusUpdateSize)
	}
	return StatusUpdate{
		Progress: lsn.Progress{Write: lsn.LSN(binary.BigEndian.Uint64(p[1:])),
			Flush: lsn.LSN(binary.BigEndian.Uint64(p[9:])),
			Apply: lsn.LSN(binary.BigEndian.Uint64(p[17:]))},
		SentAt:         Time(binary.BigEndian.Uint64(p[25:])),
		ReplyRequested: p[33] != 0,
	}, nil
}

// FullXID is a 64-bit transaction ID: epoch in the upper half. Values below 3 in the lower half
// are no normal transaction; 0 means none.
type FullXID uint64

// HotStandbyFeedback is the oldest transactions that the standby's queries (Xmin) and its slots
// (CatalogXmin) still need.
type HotStandbyFeedback struct {
	SentAt            Time
	Xmin, CatalogXmin FullXID
}

// Append appends the payload.
func (m HotStandbyFeedback) Append(b []byte) []byte {
	b = append(b, TagHotStandbyFeedback)
	b = binary.BigEndian.AppendUint64(b, uint64(m.SentAt))
	b = binary.BigEndian.AppendUint32(b, uint32(m.Xmin))
	b = binary.BigEndian.AppendUint32(b, uint32(m.Xmin>>32))
	b = binary.BigEndian.AppendUint32(b, uint32(m.CatalogXmin))
	return binary.BigEndian.AppendUint32(b, uint32(m.CatalogXmin>>32))
}

// DecodeHotStandbyFeedback reads a payload of exactly [HotStandbyFeedbackSize] bytes, tag included. Another size or tag
// is an error.
func DecodeHotStandbyFeedback(p []byte) (HotStandbyFeedback, error) {
	if len(p) != HotStandbyFeedbackSize || p[0] != TagHotStandbyFeedback {
		return HotStandbyFeedback{}, wrongSize("hot standby feedback", len(p), HotStandbyFeedbackSize)
	}
	be := binary.BigEndian
	return HotStandbyFeedback{
		SentAt:      Time(be.Uint64(p[1:])),
		Xmin:        FullXID(be.Uint32(p[9:])) | FullXID(be.Uint32(p[13:]))<<32,
		CatalogXmin: FullXID(be.Uint32(p[17:])) | FullXID(be.Uint32(p[21:]))<<32,
	}, nil
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}
