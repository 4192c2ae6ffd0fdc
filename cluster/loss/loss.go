package loss

import (
	"maps"
	"slices"
	"strings"

	"github.com/replproxy/replproxy/cluster/vote"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Bounds of the losses that are kept, and told to members: all together at most 150 kB of a member status, which may
// have 1 MB.
const (
	// MaxLosses: a cluster whose primary loses WAL more often than that needs another one first.
	MaxLosses = 8
	// MaxNames bounds each list of a loss: far more standbys than PostgreSQL's max_wal_senders allows by default.
	MaxNames = 50
)

// Loss is WAL that was given up. Names are folded, lists are sorted.
type Loss struct {
	ID       uint64         `json:"id"`             // random; the same at all members
	Also     []uint64       `json:"also,omitempty"` // of losses that are a part of it now, see [Set.room]
	System   lsn.SystemID   `json:"system_identifier"`
	Timeline lsn.TimelineID `json:"timeline"`
	// Num counts the losses of a timeline, from 1 on. Of one number, where positions overlap, are the words that
	// proxies are given at once, before they hear of each other: about one loss.
	Num  int     `json:"number,omitempty"`
	From lsn.LSN `json:"from_lsn"` // Invalid: not known, all up to To may be lost
	To   lsn.LSN `json:"to_lsn"`
	// Own: this proxy was told so itself, or has had WAL that was written instead. It is not told to members.
	Own bool `json:"own,omitempty"`
	// Pending: this proxy was told so, and has had no WAL since that was written instead. It is not told to members.
	Pending bool `json:"pending,omitempty"`
	// Beyond are names that have had WAL beyond From, Anew those that have shown since that they have none of it.
	Beyond []string `json:"beyond,omitempty"`
	Anew   []string `json:"anew,omitempty"`
	// Said are names of which the operator says that they were made anew: none of their sessions is asked.
	Said []string `json:"said,omitempty"`
	// Passed are the standbys that have shown it when no member could serve lost WAL any more to one that has none, see
	// [Who]: they are asked no more. The others are, at each session.
	Passed []string `json:"passed,omitempty"`
	// Upto has for each that has shown it the position up to which it was known to have the WAL that was written
	// instead, at the end of a session.
	Upto map[string]lsn.LSN `json:"upto,omitempty"`
	// Kept: whoever says this has it on its disk. Heard are the members that have said so.
	Kept  bool     `json:"kept,omitempty"`
	Heard []string `json:"heard,omitempty"`
	// Instead: whoever says this has, or gets, WAL that was written instead.
	Instead bool `json:"instead,omitempty"`
	// Void: a later timeline is followed whose history has the lost WAL, see [Set.KeptBy].
	Void bool `json:"void,omitempty"`
	// TakenBack: the WAL is not lost. The proxy that gave it up follows a server that has it. It concerns nobody.
	TakenBack bool `json:"taken_back,omitempty"`
}

// Who is a standby, as far as its sessions are told apart: many have one name.
type Who struct{ Name, Host, Slot string }

func (w Who) key() string { return strings.Join([]string{vote.Fold(w.Name), w.Host, w.Slot}, "\t") }

// First holds a session's first report. A client that applies nothing, pg_basebackup above all, has no data to which
// the WAL is to fit; where it begins it calls flushed.
type First struct {
	lsn.Progress
	Voter bool // a rule names it
}

func (f First) highest() lsn.LSN { return max(f.Write, f.Flush, f.Apply) }

// applies reports whether the client is a server, with data of the WAL that it has.
func (f First) applies() bool { return f.Apply != lsn.Invalid }

// In reports whether WAL beyond From is WAL of h. A timeline that left earlier has neither the lost nor the new WAL;
// PostgreSQL itself refuses a standby with the lost WAL there.
func (l Loss) In(h lsn.History) bool {
	if h.Timeline == l.Timeline {
		return true
	}
	fork, _, left := h.SwitchPoint(l.Timeline)
	return left && fork > l.From
}

// Has reports whether p, a position of the loss's system, is one that only the lost WAL reaches.
func (l Loss) Has(p lsn.Point) bool {
	return p.Timeline == l.Timeline && p.LSN > l.From && p.LSN <= l.To
}

// Suspects returns the names that do not count.
func (l Loss) Suspects() (names []string) {
	for _, name := range l.Beyond {
		if !l.anew(name) {
			names = append(names, name)
		}
	}
	return names
}

func (l Loss) anew(name string) bool { return has(l.Anew, name) || has(l.Said, name) }

// Asks reports whether a session of who is to say what it has before it gets WAL. One that has passed is asked as long
// as its name does not count: it may have been the base backup of the standby that comes now.
func (l Loss) Asks(who Who) bool {
	name := vote.Fold(who.Name)
	suspect := has(l.Beyond, name) && !has(l.Anew, name)
	return !has(l.Said, name) && (suspect || !has(l.Passed, who.key()))
}

// Judge decides by the first report f of a session; refused: it may have the lost WAL, and gets nothing. members are
// the other proxies. While one of them may not know of the loss, and so may serve lost WAL to anybody, a standby that
// passes is asked again when it comes back.
func (l Loss) Judge(who Who, f First, members []string) (_ Loss, refused bool) {
	name, at := vote.Fold(who.Name), f.highest()
	switch {
	case !l.Asks(who), at == lsn.Invalid:
		return l, false
	case at <= l.From, at > l.To, at <= l.Upto[who.key()]:
		if l.KnownToAll(members) {
			l.Passed = addBounded(l.Passed, who.key())
		}
		if f.applies() {
			l.Anew = l.addAnew(name)
		}
		return l, false
	case f.applies(), f.Voter:
		l.Beyond = add(l.Beyond, name)
	}
	return l, f.applies()
}

// KnownToAll reports whether all members have the loss on their disks: none of them serves lost WAL any more to a
// standby that has none.
func (l Loss) KnownToAll(members []string) bool {
	return !slices.ContainsFunc(members, func(m string) bool { return !has(l.Heard, m) })
}

// Left takes note of how far a session of who, which has passed here, has reported WAL that was written instead.
func (l Loss) Left(who Who, at lsn.LSN) Loss {
	if at > l.From && at <= l.To && l.Asks(who) {
		l.Upto = addUpto(l.Upto, map[string]lsn.LSN{who.key(): at})
	}
	return l
}

// addUpto returns a copy of a with the entries of b; of a name that both have it keeps the higher position. It adds no
// name beyond MaxNames: a standby that is left out has to be made anew when it comes back amid the loss.
func addUpto(a, b map[string]lsn.LSN) map[string]lsn.LSN {
	both := maps.Clone(a)
	for k, at := range b {
		if was, known := both[k]; at > was && (known || len(both) < MaxNames) {
			if both == nil {
				both = map[string]lsn.LSN{}
			}
			both[k] = at
		}
	}
	return both
}

// Parted reports whether a server that reports f first must get no WAL from a proxy that still has the lost WAL. Such
// a server has none of the lost WAL. It may be in use where other WAL was written instead.
func (l Loss) Parted(f First) bool {
	return f.applies() && (f.highest() <= l.From || f.highest() > l.To)
}

// Renewed reports whether a server of who is known to have WAL that was written instead: it must get no more from a
// proxy that still has the lost WAL. It was named by the operator, has passed for good, or was served elsewhere.
func (l Loss) Renewed(who Who, f First) bool {
	return f.applies() && f.highest() > l.From && (!l.Asks(who) || l.Upto[who.key()] > l.From)
}

// addAnew returns Anew with name, which had none of that WAL or was made anew. Of too many such names are forgotten.
func (l Loss) addAnew(name string) []string {
	if len(l.Anew) < MaxNames || has(l.Anew, name) {
		return add(l.Anew, name)
	}
	i := slices.IndexFunc(l.Anew, func(n string) bool { return !has(l.Beyond, n) })
	if i < 0 {
		return l.Anew
	}
	return add(slices.Delete(slices.Clone(l.Anew), i, i+1), name)
}

// join makes l and o, two words about one loss, one. Its beginning is the lowest that is known. Who has shown that it
// has nothing beyond a higher one is asked again.
func (l Loss) join(o Loss) Loss {
	from := min(l.From, o.From)
	if from == lsn.Invalid {
		from = max(l.From, o.From)
	}
	if l.From > from {
		l.Anew, l.Passed, l.Upto = nil, nil, nil
	}
	if l.From != from {
		l.Heard = nil // they hold back less, or something else
	}
	if o.From > from {
		o.Anew, o.Passed, o.Upto = nil, nil, nil
	}
	l.From, l.To, l.Own, l.Void = from, max(l.To, o.To), l.Own || o.Own, l.Void || o.Void
	l.Beyond, l.Anew = add(l.Beyond, o.Beyond...), add(l.Anew, o.Anew...)
	l.Said, l.Passed = add(l.Said, o.Said...), addBounded(l.Passed, o.Passed...)
	l.Upto = addUpto(l.Upto, o.Upto)
	return l
}

// same reports whether l may be what another proxy said of the loss that o is.
func (l Loss) same(o Loss) bool {
	return l.System == o.System && l.Timeline == o.Timeline && l.From < o.To && o.From < l.To
}

// again reports whether l may be carried out anew as o. The operator's word about it is not used up before WAL comes
// that was written instead, which a full disk may hinder time and again.
func (l Loss) again(o Loss) bool {
	return l.Pending && l.System == o.System && l.Timeline == o.Timeline && l.From == o.From
}

// one reports whether l and o are one loss, known by two words about it. One word that was taken back is not the other.
func (l Loss) one(o Loss) bool {
	words := l.Num != 0 && l.Num == o.Num && l.same(o) && !l.TakenBack && !o.TakenBack
	return l.ID == o.ID || slices.Contains(l.Also, o.ID) || words
}

func (l Loss) equal(o Loss) bool {
	return l.From == o.From && l.To == o.To && l.Void == o.Void &&
		slices.Equal(l.Beyond, o.Beyond) && slices.Equal(l.Anew, o.Anew) &&
		slices.Equal(l.Said, o.Said) && slices.Equal(l.Passed, o.Passed) && maps.Equal(l.Upto, o.Upto) &&
		slices.Equal(l.Heard, o.Heard) && l.TakenBack == o.TakenBack
}

func has(list []string, name string) bool {
	_, found := slices.BinarySearch(list, name)
	return found
}

// add puts names into a sorted list, up to MaxNames.
func add(list []string, names ...string) []string {
	for _, name := range names {
		i, found := slices.BinarySearch(list, name)
		if !found && len(list) < MaxNames {
			list = slices.Insert(slices.Clone(list), i, name)
		}
	}
	return list
}

// addBounded does so for a list that may forget: whoever is left out is asked again.
func addBounded(list []string, keys ...string) []string {
	for _, k := range keys {
		if len(list) >= MaxNames && !has(list, k) {
			list = slices.Delete(slices.Clone(list), 0, 1)
		}
		list = add(list, k)
	}
	return list
}
