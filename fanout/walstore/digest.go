package walstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"
	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// digest is the content of the sidecar of a sealed segment, NAME.xxh: what the segment's bytes
// hashed to in memory, before they went to disk.
//
//	 0        4         8          16        24           32         40
//	┌────────┬─────────┬──────────┬─────────┬────────────┬──────────┐
//	│ "RPXD" │ version │ first LSN│ length  │ xxhash64   │ xxhash64 │
//	│        │         │          │         │ of the WAL │ of 0..32 │
//	└────────┴─────────┴──────────┴─────────┴────────────┴──────────┘
//
// Little-endian. The timeline is in the name, which goes with the segment's.
type digest struct {
	Start  lsn.LSN
	Length uint64
	Sum    uint64
}

const (
	digestSuffix  = ".xxh"
	digestMagic   = "RPXD"
	digestVersion = 1
	digestBodyLen = 32
	digestLen     = digestBodyLen + 8
)

// errDigest reports a sidecar that can't be read; the segment counts as one without.
var errDigest = errors.New("not a valid digest")

func (d digest) append(b []byte) []byte {
	start := len(b)
	b = append(b, digestMagic...)
	b = binary.LittleEndian.AppendUint32(b, digestVersion)
	b = binary.LittleEndian.AppendUint64(b, uint64(d.Start))
	b = binary.LittleEndian.AppendUint64(b, d.Length)
	b = binary.LittleEndian.AppendUint64(b, d.Sum)
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b[start:]))
}

func decodeDigest(b []byte) (digest, error) {
	if len(b) != digestLen || string(b[:4]) != digestMagic ||
		binary.LittleEndian.Uint64(b[digestBodyLen:]) != xxhash.Sum64(b[:digestBodyLen]) {
		return digest{}, errDigest
	}
	if v := binary.LittleEndian.Uint32(b[4:]); v != digestVersion {
		return digest{}, fmt.Errorf("%w: version %d is not known here", errDigest, v)
	}
	return digest{
		Start:  lsn.LSN(binary.LittleEndian.Uint64(b[8:])),
		Length: binary.LittleEndian.Uint64(b[16:]),
		Sum:    binary.LittleEndian.Uint64(b[24:]),
	}, nil
}

// hashBuffer is the piece in which files are hashed: big enough for the device, small enough for
// the cache.
const hashBuffer = 256 << 10

// hashFile adds the first n bytes of f to h. A shorter file is io.ErrUnexpectedEOF.
func hashFile(h *xxhash.Digest, f vfs.File, n int64) error {
	buf := make([]byte, min(n, hashBuffer))
	for off := int64(0); off < n; {
		part := buf[:min(int64(len(buf)), n-off)]
		if _, err := f.ReadAt(part, off); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("read WAL for its digest: %w", err)
		}
		_, _ = h.Write(part)
		off += int64(len(part))
	}
	return nil
}
