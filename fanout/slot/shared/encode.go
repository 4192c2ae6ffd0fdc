package shared

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/replproxy/replproxy/grammar"
	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// The message versions, see [Append].
const (
	Oldest = 1
	Newest = 2
)

const (
	maxName    = 63 // NAMEDATALEN - 1, of slots and of nodes
	headerSize = 5
	lengthSize = 2
	stateSize  = 3 + 2*(1+maxName) + 4 + 6*8

	// MaxEntries bounds a message: twice the slots of a table, for the slots and their tombstones.
	MaxEntries = 2048
	// MaxSize is the largest message, with as much again for what a later release adds.
	MaxSize = headerSize + MaxEntries*2*(lengthSize+stateSize)
)

// ErrEncoding reports bytes that no Append of this version wrote.
var ErrEncoding = errors.New("invalid message about slots")

// Entry is one slot in a message. An entry whose State has no more than a name only asks.
type Entry struct {
	State
	Keeps bool // the sender keeps the WAL from Restart on
	Why   Why  // in an answer: what became of the wish
	// For is the application_name of the session that wants to attach, from version 2 on; "": not told.
	For string
	// Doubted: in an answer Busy, the session that has the slot is asked whether it lives; from version 2 on.
	Doubted bool
}

// Message is sent by one proxy to another. The answer to it is a Message as well, of the same wish.
type Message struct {
	Wish Wish
	// All: it has every slot of the sender; in a question it asks for the same.
	All     bool
	Entries []Entry
}

// All integers are big-endian; a text is its length in one byte and its bytes.
//
//	message  1 wish all n(2) n×entry, or
//	         2 wish all n(2) n×(length(2) entry)
//	entry    flags why real name owner generation stamp pid(4) restart xmin catalog_xmin created, and in version 2
//	         for
const (
	flagDropped = 1 << iota
	flagIdle
	flagKeeps
	flagDoubted // from version 2 on
	flagsAll    = flagDropped | flagIdle | flagKeeps
)

// Append appends the encoding of m in a message version, or fails when m is outside the bounds. In version 1 a byte
// more is an error. From version 2 on a reader skips additions of a later release: flags, bytes behind an entry's known
// fields, and bytes behind the entries.
func Append(b []byte, version byte, m Message) ([]byte, error) {
	if len(m.Entries) > MaxEntries || m.Wish > Drop {
		return nil, fmt.Errorf("%w: %d entries, wish %d", ErrEncoding, len(m.Entries), m.Wish)
	}
	all := byte(0)
	if m.All {
		all = 1
	}
	b = binary.BigEndian.AppendUint16(append(b, version, byte(m.Wish), all), uint16(len(m.Entries)))
	for _, e := range m.Entries {
		if err := e.check(); err != nil {
			return nil, err
		}
		begin := len(b)
		if version > Oldest {
			b = append(b, 0, 0)
		}
		b = append(b, e.flags(version), byte(e.Why), byte(e.Real), byte(len(e.Name)))
		b = append(append(b, e.Name...), byte(len(e.Owner)))
		b = append(b, e.Owner...)
		for _, v := range []uint64{e.Generation, e.Stamp} {
			b = binary.BigEndian.AppendUint64(b, v)
		}
		b = binary.BigEndian.AppendUint32(b, uint32(e.ActivePID))
		for _, v := range []uint64{uint64(e.Restart), uint64(e.Xmin), uint64(e.Catalog), uint64(e.Created)} {
			b = binary.BigEndian.AppendUint64(b, v)
		}
		if version > Oldest {
			b = append(append(b, byte(len(e.For))), e.For...)
			binary.BigEndian.PutUint16(b[begin:], uint16(len(b)-begin-lengthSize))
		}
	}
	return b, nil
}

func (e Entry) flags(version byte) (f byte) {
	for i, set := range []bool{e.Dropped, e.Idle, e.Keeps, e.Doubted && version > Oldest} {
		if set {
			f |= 1 << i
		}
	}
	return f
}

// check returns [ErrEncoding] for an entry outside of its bounds, before it is sent and after it came.
func (e Entry) check() error {
	asks := e.State == State{Name: e.Name}
	switch {
	case grammar.ValidateSlotName(e.Name) != nil, e.Why > Busy, e.Real > Mirrored, e.ActivePID < 0,
		len(e.Owner) > maxName, len(e.For) > maxName, e.Generation > MaxGeneration,
		!asks && (e.Owner == "" || e.Generation == 0),
		e.Dropped && (e.ActivePID != 0 || e.Restart != lsn.Invalid), !printable(e.Owner):
		return fmt.Errorf("%w: slot %q, generation %d of %q", ErrEncoding, e.Name, e.Generation, e.Owner)
	}
	return nil
}

// printable holds a node's name to what a file can keep of it.
func printable(name string) bool {
	for _, c := range []byte(name) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// Decode reads one whole message of a version. Every error wraps [ErrEncoding].
func Decode(b []byte, version byte) (m Message, err error) {
	d := decoder{b: b}
	head := d.take(headerSize)
	n := int(binary.BigEndian.Uint16(head[3:]))
	if d.short || head[0] != version || head[1] > byte(Drop) || head[2] > 1 || n > MaxEntries {
		return Message{}, fmt.Errorf("%w: %d bytes of another version", ErrEncoding, len(b))
	}
	m.Wish, m.All = Wish(head[1]), head[2] == 1
	for range n {
		read := d.entry
		if version > Oldest {
			read = d.longer
		}
		e := read()
		if d.short {
			return Message{}, fmt.Errorf("%w: it ends early", ErrEncoding)
		}
		if err := e.check(); err != nil {
			return Message{}, err
		}
		m.Entries = append(m.Entries, e)
	}
	if version == Oldest && (d.bad || len(d.b) > 0) {
		return Message{}, fmt.Errorf("%w: %d bytes too many, or unknown flags", ErrEncoding, len(d.b))
	}
	return m, nil
}

// decoder reads from the front of b; after the first failure everything is zero.
type decoder struct {
	b          []byte
	short, bad bool
}

func (d *decoder) take(n int) []byte {
	if d.short || len(d.b) < n {
		d.short = true
		return make([]byte, n)
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) u64() uint64  { return binary.BigEndian.Uint64(d.take(8)) }
func (d *decoder) text() string { return string(d.take(int(d.take(1)[0]))) }

// longer reads an entry behind its length, and skips what it has beyond what is known.
func (d *decoder) longer() Entry {
	in := decoder{b: d.take(int(binary.BigEndian.Uint16(d.take(lengthSize))))}
	e := in.entry()
	if !in.short && len(in.b) > 0 {
		e.For = in.text()
	}
	d.short = d.short || in.short
	return e
}

func (d *decoder) entry() (e Entry) {
	head := d.take(3)
	f := head[0]
	d.bad = d.bad || f > flagsAll
	e.Dropped, e.Idle, e.Keeps = f&flagDropped != 0, f&flagIdle != 0, f&flagKeeps != 0
	e.Doubted = f&flagDoubted != 0
	e.Why, e.Real = Why(head[1]), Real(head[2])
	e.Name, e.Owner = d.text(), d.text()
	e.Generation, e.Stamp = d.u64(), d.u64()
	e.ActivePID = int32(binary.BigEndian.Uint32(d.take(4)))
	e.Restart, e.Xmin = lsn.LSN(d.u64()), copyboth.FullXID(d.u64())
	e.Catalog, e.Created = copyboth.FullXID(d.u64()), copyboth.Time(d.u64())
	return e
}
