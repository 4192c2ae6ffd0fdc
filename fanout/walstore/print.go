package walstore

import (
	"encoding/binary"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// Print names WAL by its bytes: Sum is the hash at LSN, the end of a complete record (see [Store.HashAt]). By it a
// store that has lost WAL recognises whoever has it. Zero: nothing is known.
type Print struct {
	Timeline lsn.TimelineID
	LSN      lsn.LSN
	Sum      uint64
}

// A print is version 3 of a slot of `mark`, `owed` and `promised`. It adds to the other versions of the same sequence.
const (
	printVersion = 3
	printAt      = 128 // where it begins in its slot
	printLen     = 8 + 8 + 4
	printSlotLen = slotHeaderLen + printLen + slotHashLen
)

// appendPrint encodes p behind a slot's first printAt bytes.
func appendPrint(b []byte, magic string, seq uint64, p Print) []byte {
	var payload [printLen]byte
	print := binary.LittleEndian.AppendUint64(payload[:0], uint64(p.LSN))
	print = binary.LittleEndian.AppendUint64(print, p.Sum)
	print = binary.LittleEndian.AppendUint32(print, uint32(p.Timeline))
	return appendVersion(b, magic, printVersion, seq, print)
}

// decodePrint returns the print in a slot whose other versions have sequence seq; zero: there is none of that sequence.
func decodePrint(slot []byte, magic string, seq uint64) Print {
	if len(slot) < printAt {
		return Print{}
	}
	found, print, err := decodeVersion(slot[printAt:], magic, printVersion, printLen)
	if err != nil || found != seq {
		return Print{}
	}
	return Print{
		LSN: lsn.LSN(binary.LittleEndian.Uint64(print)), Sum: binary.LittleEndian.Uint64(print[8:]),
		Timeline: lsn.TimelineID(binary.LittleEndian.Uint32(print[16:])),
	}
}
