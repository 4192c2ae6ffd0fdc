package shared

import (
	"cmp"

	"github.com/replproxy/replproxy/grammar/copyboth"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// MaxGeneration bounds the generations that are believed: one more with every attachment, a thousand a second for 8,000
// years.
const MaxGeneration = 1 << 48

// Real relates the slot to the primary's slot of its name: slot.Real in one byte.
type Real uint8

// The relations to the primary's slot.
const (
	NoReal Real = iota
	Adopted
	Mirrored
)

// State is a slot, or the tombstone of one, as its owner wrote it. The zero State is no slot.
type State struct {
	Name string
	// Generation rises with every creation, attachment and removal. 0: nothing is known.
	Generation uint64
	Owner      string // node that wrote it
	Stamp      uint64 // rises with every change that Owner makes within Generation
	Dropped    bool
	Idle       bool // invalidated: it was inactive for too long
	Real       Real
	ActivePID  int32 // of the session at Owner; 0: none
	Restart    lsn.LSN
	Xmin       copyboth.FullXID
	Catalog    copyboth.FullXID
	Created    copyboth.Time // of a tombstone: when it was dropped
}

// Exists reports whether there is such a slot: it was made, and not dropped since.
func (s State) Exists() bool { return s.Generation != 0 && !s.Dropped }

// Compare orders all states of one name: the greater one counts. A higher Generation is greater, and within one a
// tombstone is greater than a slot. A standby that uses the slot claims it again with a higher generation. Without a
// standby nobody brings the slot back. Then Owner decides by name, and Stamp among the states that one owner wrote.
// States that are alike so far are alike in all, unless a member lied or an older data_dir was put back. Then the one
// that holds more back on the primary is greater.
func Compare(a, b State) int {
	return cmp.Or(
		cmp.Compare(a.Generation, b.Generation),
		first(a.Dropped, b.Dropped),
		cmp.Compare(a.Owner, b.Owner),
		cmp.Compare(a.Stamp, b.Stamp),
		holding(uint64(a.Restart), uint64(b.Restart)),
		holding(uint64(a.Xmin), uint64(b.Xmin)),
		holding(uint64(a.Catalog), uint64(b.Catalog)),
		first(!a.Idle, !b.Idle),
		cmp.Compare(a.ActivePID, b.ActivePID),
		cmp.Compare(a.Real, b.Real),
		cmp.Compare(a.Created, b.Created),
	)
}

// Merge returns the greater of two states of one name, by Compare.
func Merge(a, b State) State {
	if Compare(a, b) < 0 {
		return b
	}
	return a
}

// first compares two flags for Compare: true is greater.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// holding compares two positions or transaction IDs for Compare. The lower one holds more WAL or rows back on the
// primary, and is greater. 0 holds nothing back, and is the least.
func holding(a, b uint64) int { return cmp.Compare(b-1, a-1) }
