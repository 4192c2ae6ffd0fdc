package walstore

import (
	"encoding/binary"
	"fmt"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// mark bounds the WAL that was published as flushed (ruling R10): WAL of Timeline up to LSN, and nothing beyond it. Up
// to Sure that WAL was durable when the mark was written. The rest was synced beside the mark. Start is where the
// store's first stream began: there is no WAL before it.
//
//	Start           Sure            LSN
//	├───────────────┼───────────────┤
//	     durable      being synced, in one segment, at most maxAhead
//
// Sum is the hash of LSN's segment up to LSN (see [Store.HashAt]), by which a start knows that all of it is there.
// It says nothing where Sure is LSN.
//
// Print names a record's end at or below LSN. A store that finds less than that knows by it whether a primary has the
// WAL that is missing. Zero: nothing is known.
//
// Unnoted is the position where a start found the end of the WAL, and could not note that the rest up to LSN is owed.
// Then other WAL may have come in its place. Invalid: nothing is owed but what is noted.
type mark struct {
	Timeline lsn.TimelineID
	LSN      lsn.LSN
	Start    lsn.LSN
	Sure     lsn.LSN
	Sum      uint64
	Print    lsn.Print
	Unnoted  lsn.LSN
}

// sureMark returns the mark of WAL that is durable up to at.
func sureMark(tli lsn.TimelineID, at, start lsn.LSN) mark {
	return mark{Timeline: tli, LSN: at, Start: start, Sure: at}
}

// The file has two copies, each of which holds the mark in three or four forms of one sequence, in one sector:
//
//	 0                  44      64              104     128        172     192          224
//	┌──────────────────┬───────┬───────────────┬───────┬──────────┬───────┬────────────┐
//	│ 1: LSN, Start, … │ zeros │ 2: Sure, Sum  │ zeros │ 3: Print │ zeros │ 4: Unnoted │
//	└──────────────────┴───────┴───────────────┴───────┴──────────┴───────┴────────────┘
//
// Versions 2 to 4 add to version 1 of the same sequence. Without 2 Sure is LSN, without 3 there is no Print: release
// v0.1.0 writes and reads the first only. It takes WAL that is missing between Sure and LSN for damage, and has it sent
// again.
const (
	markName      = "mark"
	markMagic     = "RPXK"
	markLength    = 8 + 8 + 4 // of version 1
	markVersion   = 2
	markMoreAt    = 64 // where version 2 begins
	markMore      = 8 + 8
	unnotedVer    = 4
	unnotedAt     = 192 // where version 4 begins, which is there only where Unnoted is valid
	unnotedMore   = 8
	markCopyBytes = unnotedAt + copyHeaderLen + unnotedMore + copyHashLen
)

// append adds the payload of version 1.
func (m mark) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(m.LSN))
	b = binary.LittleEndian.AppendUint64(b, uint64(m.Start))
	return binary.LittleEndian.AppendUint32(b, uint32(m.Timeline))
}

// decodeMark decodes the payload of version 1.
func decodeMark(p []byte) mark {
	at, start := lsn.LSN(binary.LittleEndian.Uint64(p)), lsn.LSN(binary.LittleEndian.Uint64(p[8:]))
	return sureMark(lsn.TimelineID(binary.LittleEndian.Uint32(p[16:])), at, start)
}

// encodeMark encodes one copy into b, which is of zeros or holds an older one.
func encodeMark(b *[markCopyBytes]byte, seq uint64, m mark) {
	var payload [markLength]byte
	appendCopy(b[:0], markMagic, seq, m.append(payload[:0]))
	more := binary.LittleEndian.AppendUint64(payload[:0], uint64(m.Sure))
	more = binary.LittleEndian.AppendUint64(more, m.Sum)
	appendVersion(b[markMoreAt:markMoreAt], markMagic, markVersion, seq, more)
	appendPrint(b[:printAt], markMagic, seq, m.Print)
	if m.Unnoted != lsn.Invalid {
		more = binary.LittleEndian.AppendUint64(payload[:0], uint64(m.Unnoted))
		appendVersion(b[unnotedAt:unnotedAt], markMagic, unnotedVer, seq, more)
	}
}

// newestMark picks the valid mark of the higher sequence from a file's content. errCopy, or another error of a copy:
// neither is valid.
func newestMark(file []byte) (newest uint64, m mark, err error) {
	err = errCopy
	for off := 0; off < 2*copyStride && off < len(file); off += copyStride {
		one := file[off:min(len(file), off+markCopyBytes)]
		seq, payload, e := decodeCopy(one, markMagic, markLength)
		if e != nil || err == nil && seq <= newest {
			continue
		}
		newest, m, err = seq, decodeMark(payload), nil
		if len(one) < markCopyBytes {
			continue
		}
		again, more, e := decodeVersion(one[markMoreAt:], markMagic, markVersion, markMore)
		if e == nil && again == seq {
			m.Sure, m.Sum = lsn.LSN(binary.LittleEndian.Uint64(more)), binary.LittleEndian.Uint64(more[8:])
		}
		m.Print = decodePrint(one, markMagic, seq)
		again, more, e = decodeVersion(one[unnotedAt:], markMagic, unnotedVer, unnotedMore)
		if e == nil && again == seq {
			m.Unnoted = lsn.LSN(binary.LittleEndian.Uint64(more))
		}
	}
	return newest, m, err
}

// possible reports whether m can have been written by a store.
func (m mark) possible() bool {
	return m.Timeline != 0 && m.Start != 0 && m.Start <= m.Sure && m.Sure <= m.LSN
}

// markFile is the open mark. One goroutine at a time.
type markFile struct {
	f    vfs.File
	seq  uint64
	last mark
	copy [markCopyBytes]byte
}

// write makes next durable in the copy that does not hold the last one, and waits for the disk. After an error a start
// finds next or the one before. After [errNoSpace] it may be called again. The caller holds stages.markMu.
func (m *markFile) write(next mark) error {
	seq := m.seq + 1
	encodeMark(&m.copy, seq, next)
	if _, err := m.f.WriteAt(m.copy[:], int64(seq%2)*copyStride); err != nil {
		return noSpace(fmt.Errorf("write mark: %w", err)) // the same copy again: the other one is good
	}
	if err := m.f.Sync(); err != nil {
		return fmt.Errorf("flush mark: %w", err)
	}
	if err := m.checkName(); err != nil {
		return err
	}
	m.seq, m.last = seq, next
	return nil
}

// checkName fails by a *[vfs.GoneError] if a start would not find the mark. One that is not made yet passes.
func (m *markFile) checkName() error {
	if m.f == nil {
		return nil
	}
	if err := m.f.CheckName(); err != nil {
		return fmt.Errorf("flush mark: %w", err)
	}
	return nil
}
