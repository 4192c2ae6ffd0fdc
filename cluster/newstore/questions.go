package newstore

import (
	"fmt"
	"slices"
	"strings"
)

// Question is a word of the file that lists what is open.
type Question string

// The questions.
const (
	Slot    Question = "slot"    // whether the primary has this proxy's slot
	Members Question = "members" // whether other members know this proxy's name
	Losses  Question = "losses"  // which WAL was given up, as far as other members know
)

// Questions lists the questions that are open; none: the data_dir counts.
type Questions []Question

// Parse reads a file of questions.
func Parse(text string) (q Questions) {
	for _, w := range strings.Fields(text) {
		q = append(q, Question(w))
	}
	return q
}

// String returns the file's content.
func (q Questions) String() (text string) {
	for _, x := range q {
		text += string(x) + "\n"
	}
	return text
}

// Of returns the questions of a data_dir without such a file. remembers: it knows of an earlier life. store: it has
// WAL, so that the slot is its own.
func Of(remembers, store bool) Questions {
	switch {
	case remembers:
		return nil
	case store:
		return Questions{Members, Losses}
	}
	return Questions{Slot, Members, Losses}
}

// Advice selects the log line about an operator's word that a new store is meant.
type Advice int

// What there is to be said.
const (
	Silence Advice = iota
	Begun          // a new store is begun by that word
	Useless        // there is a store: left in a unit, the word would hold for an empty data_dir to come
)

// Begin returns the questions that a start has to ask. slot: this proxy has one on the primary. others: there are other
// members. insists: the operator says that a new store is meant. Without open questions there is nothing to ask.
func (q Questions) Begin(slot, others, insists bool) (Questions, Advice) {
	open := slices.DeleteFunc(slices.Clone(q), func(x Question) bool {
		return x == Slot && !slot || x != Slot && !others
	})
	switch {
	case insists && open.Has(Slot):
		return open.Answered(Slot), Begun
	case insists && len(q) == 0:
		return open, Useless
	}
	return open, Silence
}

// Has reports whether x is open.
func (q Questions) Has(x Question) bool { return slices.Contains(q, x) }

// Answered returns q without x.
func (q Questions) Answered(x Question) Questions {
	return slices.DeleteFunc(slices.Clone(q), func(y Question) bool { return y == x })
}

// MayUse returns why a store must not use the slot of this proxy on the primary; nil: it may. exists: the primary has
// it already. holder returns the process that has it there, 0: none, or it is not known. It is asked only for the
// error, and may block.
func (q Questions) MayUse(exists bool, dir, slot string, holder func() int32) error {
	if !exists || !q.Has(Slot) {
		return nil
	}
	active := ""
	if pid := holder(); pid != 0 {
		active = fmt.Sprintf(" (it is active there for PID %d)", pid)
	}
	return fmt.Errorf("data_dir %s is new, and the primary has the slot %q of an earlier store of this "+
		"proxy: is the volume of data_dir mounted, or does another proxy have this name (upstream.slot)%s? If a "+
		"new store is meant, say --new-store once, and rebuild the standbys and slots that need older WAL",
		dir, slot, active)
}

// Keyless returns why a member of a cluster must not start; nil: it may. listed: cluster.members has a key of its name.
// key: data_dir has one. With the key its fence and its rule are gone.
func Keyless(listed, key bool, dir, name string) error {
	if !listed || key {
		return nil
	}
	return fmt.Errorf("%s has no key, and cluster.members has one of %q: is its volume mounted? In a cluster a new "+
		"store needs a new name (docs/runbook.md, A new store)", dir, name)
}
