package walstore

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
	"github.com/replproxy/replproxy/fanout/walstore/walformat"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// SentHash hashes WAL of one segment as a server sends it, from its first byte on. It has the hash that [Store.HashAt]
// has of the same WAL. One goroutine at a time.
type SentHash struct {
	at     lsn.LSN // where the next bytes begin
	framer walformat.Framer
	sum    xxhash.Digest
}

// NewSentHash begins the hash of the segment of id's system at at.
func NewSentHash(id Identity, at lsn.LSN) *SentHash {
	h := &SentHash{at: at, framer: walformat.Framer{Source: id.source()}}
	h.sum.Reset()
	return h
}

// Add takes the next bytes. Those behind an XLOG_SWITCH are no WAL, and become zeros in sent, as in the store (ruling
// R37).
func (h *SentHash) Add(sent []byte) {
	for len(sent) > 0 {
		piece := sent[:min(len(sent), lsn.PageSize-h.at.PageOffset())]
		clear(piece[h.framer.Take(h.at, piece):])
		_, _ = h.sum.Write(piece)
		h.at, sent = h.at+lsn.LSN(len(piece)), sent[len(piece):]
	}
}

// Sum returns the hash of what was added.
func (h *SentHash) Sum() uint64 { return h.sum.Sum64() }

// A print is version 3 of a copy of `mark`, `owed` and `promised`. It adds to the other versions of the same sequence.
const (
	printVersion = 3
	printAt      = 128 // where it begins in its copy
	printLen     = 8 + 8 + 4
	printCopyLen = copyHeaderLen + printLen + copyHashLen
)

// appendPrint encodes p behind a copy's first printAt bytes.
func appendPrint(b []byte, magic string, seq uint64, p lsn.Print) []byte {
	var payload [printLen]byte
	print := binary.LittleEndian.AppendUint64(payload[:0], uint64(p.LSN))
	print = binary.LittleEndian.AppendUint64(print, p.Sum)
	print = binary.LittleEndian.AppendUint32(print, uint32(p.Timeline))
	return appendVersion(b, magic, printVersion, seq, print)
}

// decodePrint returns the print in a copy whose other versions have sequence seq; zero: there is none of that sequence.
func decodePrint(one []byte, magic string, seq uint64) lsn.Print {
	if len(one) < printAt {
		return lsn.Print{}
	}
	found, print, err := decodeVersion(one[printAt:], magic, printVersion, printLen)
	if err != nil || found != seq {
		return lsn.Print{}
	}
	return lsn.Print{
		LSN: lsn.LSN(binary.LittleEndian.Uint64(print)), Sum: binary.LittleEndian.Uint64(print[8:]),
		Timeline: lsn.TimelineID(binary.LittleEndian.Uint32(print[16:])),
	}
}
