package walstore

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// The meta file and the mark have one shape: two slots, written in turn, of which the valid one
// with the higher sequence counts. A write that is torn by a crash leaves the other slot. Slots
// lie a page apart, so that no device tears both in one go.
//
//	 0        4         8          16                       8+8+payload   +8
//	┌────────┬─────────┬──────────┬────────────────────────┬─────────────┐
//	│ magic  │ version │ sequence │ payload (fixed length) │ xxhash64    │
//	└────────┴─────────┴──────────┴────────────────────────┴─────────────┘
//
// All little-endian; the hash covers everything before it. docs/walstore-format.md has the tables.
const (
	slotStride    = 4096
	slotHeaderLen = 16
	slotHashLen   = 8
	slotVersion   = 1
	maxPayload    = 64 // longest payload of any kind
)

// errSlot reports a slot that was never written, is torn, or is of another kind.
var errSlot = errors.New("not a valid slot")

func appendSlot(b []byte, magic string, seq uint64, payload []byte) []byte {
	return appendVersion(b, magic, slotVersion, seq, payload)
}

func appendVersion(b []byte, magic string, version uint32, seq uint64, payload []byte) []byte {
	start := len(b)
	b = append(b, magic[:4]...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint64(b, seq)
	b = append(b, payload...)
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b[start:]))
}

func decodeSlot(b []byte, magic string, payloadLen int) (seq uint64, payload []byte, err error) {
	return decodeVersion(b, magic, slotVersion, payloadLen)
}

func decodeVersion(b []byte, magic string, version uint32, payloadLen int) (seq uint64, payload []byte, err error) {
	n := slotHeaderLen + payloadLen
	if len(b) < n+slotHashLen || string(b[:4]) != magic {
		return 0, nil, errSlot
	}
	if binary.LittleEndian.Uint64(b[n:]) != xxhash.Sum64(b[:n]) {
		return 0, nil, errSlot
	}
	if v := binary.LittleEndian.Uint32(b[4:]); v != version {
		return 0, nil, fmt.Errorf("%w: version %d is not known here", errSlot, v)
	}
	return binary.LittleEndian.Uint64(b[8:]), b[slotHeaderLen:n], nil
}

// newestSlot picks the valid slot with the higher sequence from a file's content.
func newestSlot(file []byte, magic string, payloadLen int) (seq uint64, payload []byte, err error) {
	err = errSlot
	for off := 0; off < 2*slotStride && off < len(file); off += slotStride {
		s, p, e := decodeSlot(file[off:], magic, payloadLen)
		if e == nil && (err != nil || s > seq) {
			seq, payload, err = s, p, nil
		}
	}
	return seq, payload, err
}

// slotFileContent is a new file: both slots hold payload.
func slotFileContent(magic string, payload []byte) []byte {
	b := make([]byte, 2*slotStride)
	appendSlot(b[:0], magic, 1, payload)
	appendSlot(b[slotStride:slotStride], magic, 2, payload)
	return b
}

// The meta file: which WAL this store is for. System 0 is a store that has not been adopted.
const (
	metaName   = "replproxy.meta"
	metaMagic  = "RPXM"
	metaLength = 8 + 4 + 4
)

func encodeMeta(id Identity) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(id.System))
	b = binary.LittleEndian.AppendUint32(b, uint32(id.SegSize))
	return binary.LittleEndian.AppendUint32(b, uint32(id.ServerMajor))
}

func decodeMeta(p []byte) Identity {
	return Identity{
		System:      lsn.SystemID(binary.LittleEndian.Uint64(p)),
		SegSize:     lsn.SegSize(binary.LittleEndian.Uint32(p[8:])),
		ServerMajor: int(binary.LittleEndian.Uint32(p[12:])),
	}
}

// mark is the durable low-water mark (ruling R10): WAL of Timeline is in the store, flushed, up to
// LSN; no flushed position beyond it was ever published. Start is where the store's first stream
// began: there is no WAL before it.
type mark struct {
	Timeline lsn.TimelineID
	LSN      lsn.LSN
	Start    lsn.LSN
}

const (
	markName   = "mark"
	markMagic  = "RPXK"
	markLength = 8 + 8 + 4
)

func (m mark) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(m.LSN))
	b = binary.LittleEndian.AppendUint64(b, uint64(m.Start))
	return binary.LittleEndian.AppendUint32(b, uint32(m.Timeline))
}

func decodeMark(p []byte) mark {
	return mark{
		LSN:      lsn.LSN(binary.LittleEndian.Uint64(p)),
		Start:    lsn.LSN(binary.LittleEndian.Uint64(p[8:])),
		Timeline: lsn.TimelineID(binary.LittleEndian.Uint32(p[16:])),
	}
}

// markFile is the open mark. One goroutine at a time.
type markFile struct {
	f    vfs.File
	seq  uint64
	last mark
	buf  [slotHeaderLen + maxPayload + slotHashLen]byte
	body [maxPayload]byte
}

// write makes m durable in the slot that does not hold the last one.
func (m *markFile) write(next mark) error {
	seq := m.seq + 1
	slot := appendSlot(m.buf[:0], markMagic, seq, next.append(m.body[:0]))
	if _, err := m.f.WriteAt(slot, int64(seq%2)*slotStride); err != nil {
		return noSpace(fmt.Errorf("write mark: %w", err)) // the same slot again: the other one is good
	}
	if err := m.f.Sync(); err != nil {
		return fmt.Errorf("flush mark: %w", err)
	}
	m.seq, m.last = seq, next
	return nil
}
