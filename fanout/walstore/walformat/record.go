package walformat

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/replproxy/replproxy/grammar/lsn"
)

// RecordHeaderLen is the length of a record header in bytes.
const RecordHeaderLen = 24

// Records that change how the WAL around them is read, or what a stream's end means. All are of
// resource manager XLOG (0); the info values are the upper four bits.
const (
	RmgrXLOG            = 0
	CheckpointShutdown  = 0x00
	Noop                = 0x20
	Switch              = 0x40
	OverwriteContRecord = 0xD0
	rmgrInfoMask        = 0xF0
	recordAlignment     = 8
	crcOffset           = 20
)

// Records of resource manager XACT that end a transaction; bit 7 of the info says what more is in them.
const (
	rmgrXact           = 1
	xactOpMask         = 0x70
	xactCommit         = 0x00
	xactAbort          = 0x20
	xactCommitPrepared = 0x30
	xactAbortPrepared  = 0x40
)

// Record is the header of a WAL record and where it was found.
//
//	 0           4          8                16     17     18         20         24
//	┌───────────┬──────────┬────────────────┬──────┬──────┬──────────┬──────────┬─ … ─┐
//	│ total len │ xid      │ prev record    │ info │ rmgr │ padding  │ CRC-32C  │ data│
//	└───────────┴──────────┴────────────────┴──────┴──────┴──────────┴──────────┴─ … ─┘
//
// The CRC covers bytes 24 to total len, then bytes 0 to 20.
type Record struct {
	LSN    lsn.LSN // of its first byte
	End    lsn.LSN // aligned end, the position PostgreSQL reports once it is flushed
	Length uint32  // total, header included, page headers not
	XID    uint32
	Prev   lsn.LSN
	Info   uint8
	Rmgr   uint8
	CRC    uint32
}

// IsSwitch reports whether the rest of the record's segment is zero.
func (r *Record) IsSwitch() bool { return r.Rmgr == RmgrXLOG && r.Info&rmgrInfoMask == Switch }

// IsShutdownCheckpoint reports whether the record is a shutdown checkpoint.
func (r *Record) IsShutdownCheckpoint() bool {
	return r.Rmgr == RmgrXLOG && r.Info&rmgrInfoMask == CheckpointShutdown
}

// IsOverwriteContrecord reports whether the record says that the one before it was given up, after a crash of the
// primary.
func (r *Record) IsOverwriteContrecord() bool {
	return r.Rmgr == RmgrXLOG && r.Info&rmgrInfoMask == OverwriteContRecord
}

// IsTransactionEnd reports whether the record is a commit or an abort, also of a prepared transaction: it has the time.
func (r *Record) IsTransactionEnd() bool {
	switch r.Info & xactOpMask {
	case xactCommit, xactAbort, xactCommitPrepared, xactAbortPrepared:
		return r.Rmgr == rmgrXact
	}
	return false
}

// ParseRecordHeader decodes the first RecordHeaderLen bytes of b.
func ParseRecordHeader(b []byte) Record {
	le := binary.LittleEndian
	return Record{
		Length: le.Uint32(b),
		XID:    le.Uint32(b[4:]),
		Prev:   lsn.LSN(le.Uint64(b[8:])),
		Info:   b[16],
		Rmgr:   b[17],
		CRC:    le.Uint32(b[crcOffset:]),
	}
}

// AppendRecord encodes a record with header r and the given data at the end of b; Length and CRC
// are computed.
func AppendRecord(b []byte, r Record, data []byte) []byte {
	le := binary.LittleEndian
	start := len(b)
	b = le.AppendUint32(b, uint32(RecordHeaderLen+len(data)))
	b = le.AppendUint32(b, r.XID)
	b = le.AppendUint64(b, uint64(r.Prev))
	b = append(b, r.Info, r.Rmgr, 0, 0)
	crc := crc32.Update(crc32.Checksum(data, castagnoli), castagnoli, b[start:])
	b = le.AppendUint32(b, crc)
	return append(b, data...)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// align rounds l up to the start of the next record.
func align(l lsn.LSN) lsn.LSN { return (l + recordAlignment - 1) &^ (recordAlignment - 1) }
