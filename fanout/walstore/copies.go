package walstore

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// The meta file, the mark and their like have one shape: two copies, written in turn, of which the valid one
// with the higher sequence counts. A write that is torn by a crash leaves the other copy. Copies
// lie a page apart, so that no device tears both in one go.
//
//	 0        4         8          16                       8+8+payload   +8
//	┌────────┬─────────┬──────────┬────────────────────────┬─────────────┐
//	│ magic  │ version │ sequence │ payload (fixed length) │ xxhash64    │
//	└────────┴─────────┴──────────┴────────────────────────┴─────────────┘
//
// All little-endian; the hash covers everything before it. docs/walstore-format.md has the tables.
const (
	copyStride    = 4096
	copyHeaderLen = 16
	copyHashLen   = 8
	copyVersion   = 1
)

// errCopy reports a copy that was never written, is torn, or is of another kind.
var errCopy = errors.New("not a valid copy")

func appendCopy(b []byte, magic string, seq uint64, payload []byte) []byte {
	return appendVersion(b, magic, copyVersion, seq, payload)
}

func appendVersion(b []byte, magic string, version uint32, seq uint64, payload []byte) []byte {
	start := len(b)
	b = append(b, magic[:4]...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint64(b, seq)
	b = append(b, payload...)
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b[start:]))
}

func decodeCopy(b []byte, magic string, payloadLen int) (seq uint64, payload []byte, err error) {
	return decodeVersion(b, magic, copyVersion, payloadLen)
}

func decodeVersion(b []byte, magic string, version uint32, payloadLen int) (seq uint64, payload []byte, err error) {
	n := copyHeaderLen + payloadLen
	if len(b) < n+copyHashLen || string(b[:4]) != magic {
		return 0, nil, errCopy
	}
	if binary.LittleEndian.Uint64(b[n:]) != xxhash.Sum64(b[:n]) {
		return 0, nil, errCopy
	}
	if v := binary.LittleEndian.Uint32(b[4:]); v != version {
		return 0, nil, fmt.Errorf("%w: version %d is not known here", errCopy, v)
	}
	return binary.LittleEndian.Uint64(b[8:]), b[copyHeaderLen:n], nil
}

// newestCopy picks the valid copy with the higher sequence from a file's content. errCopy: none is valid.
func newestCopy(file []byte, magic string, payloadLen int) (seq uint64, payload []byte, err error) {
	err = errCopy
	for off := 0; off < 2*copyStride && off < len(file); off += copyStride {
		s, p, e := decodeCopy(file[off:], magic, payloadLen)
		if e == nil && (err != nil || s > seq) {
			seq, payload, err = s, p, nil
		}
	}
	return seq, payload, err
}

// twoCopies returns a new file: both hold payload.
func twoCopies(magic string, payload []byte) []byte {
	b := make([]byte, 2*copyStride)
	appendCopy(b[:0], magic, 1, payload)
	appendCopy(b[copyStride:copyStride], magic, 2, payload)
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
