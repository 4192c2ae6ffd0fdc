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

// A slot file, 128 bytes, or 256 of a slot that a cluster shares; integers big-endian (docs/slot-format.md):
//
//	 0 ┌──────────────────┬─────────┬───────┬──────┐
//	   │ magic "RPSLOT\r\n"│ version │ flags │ size │
//	16 ├──────────────────┴────┬────┴───────┴──────┤
//	   │ restart_lsn           │ xmin              │
//	32 ├───────────────────────┼───────────────────┤
//	   │ catalog_xmin          │ created (µs 2000) │
//	48 ├───────────────────────┴───────────────────┤
//	   │ name, 64 bytes, padded with zeros         │
//	112├────────────────────────────────┬──────────┤   112├────────────┬─────────┬──────────┤
//	   │ reserved, zero                 │ CRC-32C  │      │ generation │ stamp   │ owner…   │
//	128└────────────────────────────────┴──────────┘   192├────────────┴─────────┼──────────┤
//	                                                      │ reserved, zero       │ CRC-32C  │
//	                                                   256└──────────────────────┴──────────┘
const (
	fileSize    = 128
	sharedSize  = 256
	fileMagic   = "RPSLOT\r\n"
	fileVersion = 2 // 1 had no flag but flagLost; it is still read
	fileOldest  = 1
	fileShared  = 3 // written for what a cluster shares

	offVersion, offFlags, offSize = 8, 10, 12
	offRestart, offXmin           = 16, 24
	offCatalog, offCreated        = 32, 40
	offName, offReserved, offCRC  = 48, 112, 124

	offGeneration, offStamp, offOwner = 112, 120, 128
	offSharedReserved, offSharedCRC   = 192, 252
)

// Flags of a file. A lost slot holds nothing back; at most one of the last two is set.
const (
	flagLost     = 1 << iota // its WAL was given up (wal_removed)
	flagIdle                 // it was inactive for too long (idle_timeout)
	flagAdopted              // it was taken over from a slot of the primary
	flagMirrored             // a slot of its name was made on the primary
	flagDropped              // version 3: it was dropped, which others may not know yet

	flagsOfOne   = flagLost
	flagsKnown   = flagLost | flagIdle | flagAdopted | flagMirrored
	flagsOfThree = flagsKnown | flagDropped
)

// Cause says why a slot is lost, in the words of PostgreSQL 18's invalidation_reason.
type Cause string

// The causes of physical slots.
const (
	NotLost     Cause = ""
	WALRemoved  Cause = "wal_removed"
	IdleTimeout Cause = "idle_timeout"
)

// Real relates the slot to the primary's slot of the same name.
type Real string

// The relations to the primary's slot.
const (
	NoReal   Real = ""         // none is known
	Adopted  Real = "adopted"  // it was there first, and this slot was taken over from it
	Mirrored Real = "mirrored" // this proxy made it so that others find it there
)

// ErrDamaged reports a slot file whose content cannot be trusted. The error names the file.
var ErrDamaged = errors.New("damaged slot file")

// record holds the content of a slot's file.
type record struct {
	name    string
	restart lsn.LSN
	xmin    copyboth.FullXID
	catalog copyboth.FullXID
	created copyboth.Time
	lost    Cause
	real    Real

	// What members share, see package shared. A file has the first two only where there is an owner.
	generation, stamp uint64
	owner             string // "": of a proxy alone, or temporary
	dropped           bool   // a tombstone
}

// shared reports whether members share the slot: their files are of version 3. A proxy that has left its cluster keeps
// the ones from there so.
func (r record) shared() bool { return r.owner != "" }

// holds returns the position from which WAL is held, Invalid for none.
func (r record) holds() lsn.LSN {
	if r.lost != NotLost || r.dropped {
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
	if r.dropped {
		f |= flagDropped
	}
	return f
}

func (r *record) setFlags(f uint16) {
	r.dropped = f&flagDropped != 0
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
	version, size, crc := uint16(fileVersion), fileSize, offCRC
	if r.shared() {
		version, size, crc = fileShared, sharedSize, offSharedCRC
	}
	b := make([]byte, size)
	be := binary.BigEndian
	copy(b, fileMagic)
	be.PutUint16(b[offVersion:], version)
	be.PutUint16(b[offFlags:], r.flags())
	be.PutUint32(b[offSize:], uint32(size))
	be.PutUint64(b[offRestart:], uint64(r.restart))
	be.PutUint64(b[offXmin:], uint64(r.xmin))
	be.PutUint64(b[offCatalog:], uint64(r.catalog))
	be.PutUint64(b[offCreated:], uint64(r.created))
	copy(b[offName:offReserved], r.name)
	if r.shared() {
		be.PutUint64(b[offGeneration:], r.generation)
		be.PutUint64(b[offStamp:], r.stamp)
		copy(b[offOwner:offSharedReserved], r.owner)
	}
	be.PutUint32(b[crc:], crc32.Checksum(b[:crc], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// decode reads a whole file. Every byte counts: what encode would not write is refused.
func decode(b []byte) (record, error) {
	be := binary.BigEndian
	if len(b) != fileSize && len(b) != sharedSize {
		return record{}, damaged("%d bytes, expected %d or %d", len(b), fileSize, sharedSize)
	}
	if string(b[:len(fileMagic)]) != fileMagic {
		return record{}, damaged("magic %q, expected %q", b[:len(fileMagic)], fileMagic)
	}
	crc, reserved := offCRC, b[offReserved:offCRC]
	if len(b) == sharedSize {
		crc, reserved = offSharedCRC, b[offSharedReserved:offSharedCRC]
	}
	if got, want := be.Uint32(b[crc:]), crc32.Checksum(b[:crc], crc32.MakeTable(crc32.Castagnoli)); got != want {
		return record{}, damaged("checksum %08X, expected %08X", got, want)
	}
	version, known := be.Uint16(b[offVersion:]), uint16(flagsKnown)
	switch {
	case version == fileOldest:
		known = flagsOfOne
	case version == fileVersion:
	case version == fileShared:
		known = flagsOfThree
	default:
		return record{}, damaged("version %d, this replproxy knows %d to %d", version, fileOldest, fileShared)
	}
	flags := be.Uint16(b[offFlags:])
	if flags&^known != 0 || be.Uint32(b[offSize:]) != uint32(len(b)) || !allZero(reserved) ||
		(version == fileShared) != (len(b) == sharedSize) {
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
	if version == fileShared {
		owner, pad, _ := bytes.Cut(b[offOwner:offSharedReserved], []byte{0})
		r.generation, r.stamp, r.owner = be.Uint64(b[offGeneration:]), be.Uint64(b[offStamp:]), string(owner)
		if r.generation == 0 || r.owner == "" || !allZero(pad) {
			return record{}, damaged("owner %q of generation %d", owner, r.generation)
		}
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
