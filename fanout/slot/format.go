package slot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// A slot file, 128 bytes, integers big-endian (docs/slot-format.md):
//
//	 0 ┌──────────────────┬─────────┬───────┬──────┐
//	   │ magic "RPSLOT\r\n"│ version │ flags │ size │
//	16 ├──────────────────┴────┬────┴───────┴──────┤
//	   │ restart_lsn           │ xmin              │
//	32 ├───────────────────────┼───────────────────┤
//	   │ catalog_xmin          │ created (µs 2000) │
//	48 ├───────────────────────┴───────────────────┤
//	   │ name, 64 bytes, padded with zeros         │
//	112├────────────────────────────────┬──────────┤
//	   │ reserved, zero                 │ CRC-32C  │
//	128└────────────────────────────────┴──────────┘
const (
	fileSize    = 128
	fileMagic   = "RPSLOT\r\n"
	fileVersion = 2 // 1 had no flag but flagLost; it is still read
	fileOldest  = 1

	offVersion, offFlags, offSize = 8, 10, 12
	offRestart, offXmin           = 16, 24
	offCatalog, offCreated        = 32, 40
	offName, offReserved, offCRC  = 48, 112, 124
)

// Flags of a file. A lost slot holds nothing back; at most one of the last two is set.
const (
	flagLost     = 1 << iota // its WAL was given up (wal_removed)
	flagIdle                 // it was inactive for too long (idle_timeout)
	flagAdopted              // it was taken over from a slot of the primary
	flagMirrored             // a slot of its name was made on the primary

	flagsOfOne = flagLost
	flagsKnown = flagLost | flagIdle | flagAdopted | flagMirrored
)

// Cause says why a slot is lost, in the words of PostgreSQL 18's invalidation_reason.
type Cause string

// The causes of physical slots.
const (
	NotLost     Cause = ""
	WALRemoved  Cause = "wal_removed"
	IdleTimeout Cause = "idle_timeout"
)

// Real says what the slot of the same name on the primary is to this one.
type Real string

// The relations to the primary's slot.
const (
	NoReal   Real = ""         // none is known
	Adopted  Real = "adopted"  // it was there first, and this slot was taken over from it
	Mirrored Real = "mirrored" // this proxy made it so that others find it there
)

// ErrDamaged reports a slot file whose content cannot be trusted. The error names the file.
var ErrDamaged = errors.New("damaged slot file")

// record is what a file holds of a slot.
type record struct {
	name    string
	restart lsn.LSN
	xmin    copyboth.FullXID
	catalog copyboth.FullXID
	created copyboth.Time
	lost    Cause
	real    Real
}

// holds is the position from which WAL is held, Invalid for none.
func (r record) holds() lsn.LSN {
	if r.lost != NotLost {
		return lsn.Invalid
	}
	return r.restart
}

func (r record) flags() (f uint16) {
	switch r.lost {
	case WALRemoved:
		f |= flagLost
	case IdleTimeout:
		f |= flagIdle
	}
	switch r.real {
	case Adopted:
		f |= flagAdopted
	case Mirrored:
		f |= flagMirrored
	}
	return f
}

func (r *record) setFlags(f uint16) {
	switch {
	case f&flagLost != 0:
		r.lost = WALRemoved
	case f&flagIdle != 0:
		r.lost = IdleTimeout
	}
	switch {
	case f&flagAdopted != 0:
		r.real = Adopted
	case f&flagMirrored != 0:
		r.real = Mirrored
	}
}

func (r record) encode() []byte {
	b := make([]byte, fileSize)
	be := binary.BigEndian
	copy(b, fileMagic)
	be.PutUint16(b[offVersion:], fileVersion)
	be.PutUint16(b[offFlags:], r.flags())
	be.PutUint32(b[offSize:], fileSize)
	be.PutUint64(b[offRestart:], uint64(r.restart))
	be.PutUint64(b[offXmin:], uint64(r.xmin))
	be.PutUint64(b[offCatalog:], uint64(r.catalog))
	be.PutUint64(b[offCreated:], uint64(r.created))
	copy(b[offName:offReserved], r.name)
	be.PutUint32(b[offCRC:], crc32.Checksum(b[:offCRC], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// decode reads a whole file. Every byte counts: what encode would not write is refused.
func decode(b []byte) (record, error) {
	be := binary.BigEndian
	if len(b) != fileSize {
		return record{}, damaged("%d bytes, expected %d", len(b), fileSize)
	}
	if string(b[:len(fileMagic)]) != fileMagic {
		return record{}, damaged("magic %q, expected %q", b[:len(fileMagic)], fileMagic)
	}
	if got, want := be.Uint32(b[offCRC:]), crc32.Checksum(b[:offCRC], crc32.MakeTable(crc32.Castagnoli)); got != want {
		return record{}, damaged("checksum %08X, expected %08X", got, want)
	}
	version, known := be.Uint16(b[offVersion:]), uint16(flagsKnown)
	switch version {
	case fileOldest:
		known = flagsOfOne
	case fileVersion:
	default:
		return record{}, damaged("version %d, this replproxy knows %d to %d", version, fileOldest, fileVersion)
	}
	flags := be.Uint16(b[offFlags:])
	if flags&^known != 0 || be.Uint32(b[offSize:]) != fileSize || !allZero(b[offReserved:offCRC]) {
		return record{}, damaged("unknown flags, size or reserved bytes")
	}
	name, pad, _ := bytes.Cut(b[offName:offReserved], []byte{0})
	if err := grammar.ValidateSlotName(string(name)); err != nil || !allZero(pad) {
		return record{}, damaged("name %q is no slot name", b[offName:offReserved])
	}
	r := record{
		name:    string(name),
		restart: lsn.LSN(be.Uint64(b[offRestart:])),
		xmin:    copyboth.FullXID(be.Uint64(b[offXmin:])),
		catalog: copyboth.FullXID(be.Uint64(b[offCatalog:])),
		created: copyboth.Time(be.Uint64(b[offCreated:])),
	}
	r.setFlags(flags)
	if r.flags() != flags {
		return record{}, damaged("flags %04X contradict each other", flags)
	}
	return r, nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
