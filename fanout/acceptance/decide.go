package acceptance

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// What an operator is told whose word is not taken.
var (
	errNothing = errors.New("the proxy refuses no server on that timeline now: nothing is there to be given up " +
		"(--force accepts what is to come)")
	errNoWord = errors.New("there is no such word")
	errUsed   = errors.New("it is used: that WAL is given up, and the other members have been told")
	// errUsedAside: the store has that WAL until its next start.
	errUsedAside = fmt.Errorf("%w. This proxy has it still; to keep it after all do not restart it: stop that "+
		"primary, fence the proxies, and promote a server that has that WAL (docs/failover.md)", errUsed)
)

// Say returns the word of an operator who accepts the server on timeline t while waits is refused. needless speaks
// against it, nil: nothing does. With force the word is about whatever is to come where nothing is refused, or where it
// is needless; system is asked then which system that is about.
func Say(waits Word, t lsn.TimelineID, force bool, needless error, system func() (lsn.SystemID, error)) (Word, error) {
	about := waits.Kind == Said && waits.Timeline == t && needless == nil
	switch {
	case about:
		return waits, nil
	case !force && needless != nil:
		return Word{}, needless
	case !force:
		return Word{}, errNothing
	}
	of, err := system()
	return Word{Kind: Forced, System: of, Timeline: t}, err
}

// Needless returns why no WAL is to be given up while a proxy streams from a server itself, at an endpoint and on a
// timeline; nil: it does not. The word would be obeyed as soon as that server is away for a moment (ruling R48). A
// stream from a member says nothing of the primary, which may be refused meanwhile.
func Needless(streams, fromMember bool, endpoint string, t lsn.TimelineID) error {
	if !streams || fromMember {
		return nil
	}
	return fmt.Errorf("the proxy streams from %s, on timeline %s: nothing is to be given up, and the server that "+
		"lacks WAL would be followed as soon as this one is away for a moment; stop the one that is not to be "+
		"the primary (--force accepts it all the same)", endpoint, t)
}

// Fenced returns why the WAL of timeline t is not to be given up where these proxies are fenced on it; nil: none is. A
// fence is for good: what a primary writes there counts no more, so following it would leave commits waiting for ever.
func Fenced(proxies []string, t lsn.TimelineID) error {
	if len(proxies) == 0 {
		return nil
	}
	return fmt.Errorf("%s fenced on timeline %s, which is for good: no commit there is confirmed any more; promote a "+
		"standby that replproxy tail proves (--force accepts it all the same)", isOrAre(proxies), t)
}

func isOrAre(proxies []string) string {
	if len(proxies) == 1 {
		return proxies[0] + " is"
	}
	return strings.Join(proxies, " and ") + " are"
}

// Revocable returns why an operator cannot take back a word about timeline t; nil: it is w, and not used yet.
func (w Word) Revocable(t lsn.TimelineID) error {
	switch {
	case w.Timeline == t && w.Kind == Used && w.Aside:
		return errUsedAside
	case w.Timeline == t && w.Kind == Used:
		return errUsed
	case w.Timeline != t || !w.Open():
		return errNoWord
	}
	return nil
}

// Refused returns the lack for which this proxy refused a server last, unless it is given up; nil: none. waits is
// refused now, said was accepted last. A loss that a member told of is left to that member.
func Refused(waits, said Word) *walsource.LackError {
	lost := waits.IsLoss(waits.Timeline)
	if waits.Kind != Said || lost && waits.By != "" ||
		said.Kind == Used && said.Timeline == waits.Of && said.To == waits.To {
		return nil
	}
	return &walsource.LackError{
		System: waits.System, Timeline: waits.Timeline, From: waits.From, To: waits.To, Of: waits.Of,
		Lost: lost, By: waits.By,
	}
}

// SetAside returns the WAL that a start has to set aside of a store that ends at end, and the word that stands once
// that is done. The zero Aside: none. end is zero where the store has no WAL, or where a start was cut short that set
// it aside. The word is over where the store has gone on since it was used, on another timeline or on the same: then it
// has WAL that nobody has given up.
func (w Word) SetAside(end lsn.Point) (aside walstore.Aside, after Word) {
	was := w.End
	if was == lsn.Invalid {
		was = w.To
	}
	switch {
	case !w.Aside:
		return walstore.Aside{}, w
	case end.Timeline != 0 && (end.Timeline != w.Timeline || end.LSN > was):
		return walstore.Aside{}, w.Keep()
	}
	after = w
	after.Aside, after.End, after.Has = false, lsn.Invalid, lsn.Invalid
	name := fmt.Sprintf("%s-%X-%X-lost", w.Timeline, uint32(w.From>>32), uint32(w.From))
	from := lsn.Point{Timeline: w.Timeline, LSN: w.From}
	return walstore.Aside{Name: name, From: from, Has: max(w.From, w.Has)}, after
}

// Keep returns the word that stands when the store is found to have gone on with WAL of which w says that the next
// start sets it aside. Any other word stays as it is.
func (w Word) Keep() Word {
	if !w.Aside {
		return w
	}
	return Word{Kind: Kept, Timeline: w.Timeline, From: w.From, To: w.To}
}

// IsLoss reports whether w is about WAL that the primary of timeline t has lost itself.
func (w Word) IsLoss(t lsn.TimelineID) bool {
	return w.Kind == Said && w.Timeline == t && w.Of == t
}

// Open reports whether w is not used yet.
func (w Word) Open() bool { return w.Kind != None && w.Kind != Used && w.Kind != Kept }

// Covers reports whether w accepts e while waits is refused (ruling R48). A primary that has lost WAL writes on, so
// where that begins moves. It is false for a nil e.
func (w Word) Covers(e *walsource.LackError, waits Word) bool {
	if e == nil || w.Timeline != e.Timeline || w.System != 0 && e.System != 0 && w.System != e.System {
		return false
	}
	switch w.Kind {
	case Forced:
		return true
	case Bare:
		return !e.Lost && waits.Kind == Said && waits.Timeline == e.Timeline
	case Said:
		return w.Of == e.Of && e.To <= w.To && (e.Lost || e.From >= w.From)
	}
	return false
}

// Void reports whether w is over: the proxy follows a server by itself, or e waits now, nil: nothing, and was that of
// the look before.
func (w Word) Void(followed lsn.TimelineID, e *walsource.LackError, was Word) bool {
	switch {
	case !w.Open():
		return false
	case w.Kind == Forced:
		return e == nil && followed >= w.Timeline
	case w.Kind == Bare:
		return e == nil || was.Kind != Said || was.Timeline != w.Timeline || e.Lost
	}
	return e == nil || e.Timeline == w.Timeline && !w.Covers(e, was)
}

// Look lists the changes that a look at the servers makes to the two files of words.
type Look struct {
	Void    bool // the operator's word is over: it is to be removed, and if that fails nothing else is to change
	Note    bool // what is refused has changed: Lacking is to be noted
	Lacking Word // about what is refused now; the zero Word: nothing is
}

// At returns the changes to make when e is refused, nil: nothing, and timeline followed is followed, 0: none. w is the
// operator's word, and was is noted as refused by the look before.
func (w Word) At(followed lsn.TimelineID, e *walsource.LackError, was Word) Look {
	now := For(e)
	return Look{Void: w.Void(followed, e, was), Note: now.String() != was.String(), Lacking: now}
}

// GivesUp reports whether p is a position that a member had said before it was given up. What it says later is new.
func (w Word) GivesUp(p lsn.Point) bool {
	return w.Kind == Used && w.Timeline == p.Timeline && slices.Contains(w.Heard, p.LSN)
}
