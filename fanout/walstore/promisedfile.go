package walstore

import (
	"encoding/binary"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// The file `promised` exists once something was reported under a rule. It has two copies, each of which holds the
// promise in three forms of one sequence:
//
//	 0               32      64                                      116     128               172
//	┌───────────────┬───────┬───────────────────────────────────────┬───────┬─────────────────┐
//	│ version 1: At │ zeros │ version 2: At, Owes, System, Timeline │ zeros │ version 3: Print│
//	└───────────────┴───────┴───────────────────────────────────────┴───────┴─────────────────┘
//
// Version 3 adds to version 2 of the same sequence, and is left out where nothing is known.
//
// Release v0.1.0 reads and writes the first only. While something is owed there is none, so that it refuses
// the file instead of taking the bound for all there is to know.
const (
	promisedName      = "promised"
	promisedMagic     = "RPXP"
	promisedLength    = 8 // of version 1
	promisedVersion   = 2
	promisedAt        = 64 // where version 2 begins
	promisedMore      = 8 + 8 + 8 + 4
	promisedCopyBytes = printAt + printCopyLen
)

// appendPromise encodes one copy.
func appendPromise(b []byte, seq uint64, p Promise) []byte {
	first := make([]byte, promisedAt)
	if p.Owes == 0 {
		appendCopy(first[:0], promisedMagic, seq, binary.LittleEndian.AppendUint64(nil, uint64(p.At)))
	}
	more := binary.LittleEndian.AppendUint64(nil, uint64(p.At))
	more = binary.LittleEndian.AppendUint64(more, uint64(p.Owes))
	more = binary.LittleEndian.AppendUint64(more, uint64(p.System))
	more = binary.LittleEndian.AppendUint32(more, uint32(p.Timeline))
	start := len(b)
	b = appendVersion(append(b, first...), promisedMagic, promisedVersion, seq, more)
	if p.Print == (lsn.Print{}) {
		return b
	}
	return appendPrint(append(b, make([]byte, start+printAt-len(b))...), promisedMagic, seq, p.Print)
}

// promiseFile returns the content of a new file, whose copies have the sequences seq-1 and seq.
func promiseFile(seq uint64, p Promise) []byte {
	b := make([]byte, 2*copyStride)
	for i := seq - 1; i <= seq; i++ {
		at := i % 2 * copyStride
		appendPromise(b[at:at], i, p)
	}
	return b
}

// newestPromise picks the promise of the highest sequence. The form with more in it counts, unless release v0.1.0 has
// written the other one since.
func newestPromise(file []byte) (newest uint64, p Promise, err error) {
	err = errCopy
	for off := 0; off < 2*copyStride && off < len(file); off += copyStride {
		seq, one, e := decodePromise(file[off:min(len(file), off+promisedCopyBytes)])
		if e == nil && (err != nil || seq > newest) {
			newest, p, err = seq, one, nil
		}
	}
	return newest, p, err
}

func decodePromise(b []byte) (seq uint64, p Promise, err error) {
	seq, payload, err := decodeCopy(b, promisedMagic, promisedLength)
	if err == nil {
		p.At = lsn.LSN(binary.LittleEndian.Uint64(payload))
	}
	if len(b) < promisedAt {
		return seq, p, err
	}
	again, more, failed := decodeVersion(b[promisedAt:], promisedMagic, promisedVersion, promisedMore)
	if failed != nil || err == nil && seq > again {
		return seq, p, err
	}
	p.At, p.Owes = lsn.LSN(binary.LittleEndian.Uint64(more)), lsn.LSN(binary.LittleEndian.Uint64(more[8:]))
	p.System = lsn.SystemID(binary.LittleEndian.Uint64(more[16:]))
	p.Timeline = lsn.TimelineID(binary.LittleEndian.Uint32(more[24:]))
	p.Print = decodePrint(b, promisedMagic, again)
	return again, p, nil
}
