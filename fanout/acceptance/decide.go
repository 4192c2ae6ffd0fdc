package acceptance

import (
	"cmp"
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
	errSeveral = errors.New("servers on that timeline are refused for WAL of different timelines: " +
		"stop the one that is not to be the primary, and say it again " +
		"(--force accepts whatever the one lacks that is followed then)")
	errNoWord = errors.New("there is no such word")
	errUsed   = errors.New("it is used: that WAL is given up, and the other members have been told")
	// errUsedAside: the store has that WAL until its next start.
	errUsedAside = fmt.Errorf("%w. This proxy has it still; to keep it after all do not restart it: stop that "+
		"primary, fence the proxies, and promote a server that has that WAL (docs/failover.md)", errUsed)
)

// Say returns the word of an operator who accepts the server on timeline t while servers are refused for waits.
// needless speaks against it, nil: nothing does. With force the word is about whatever is to come where nothing is
// refused, or where it is needless; system is asked then which system that is about.
func Say(
	waits []Word, t lsn.TimelineID, force bool, needless error, system func() (lsn.SystemID, error),
) (Word, error) {
	about, err := on(waits, t)
	switch err = cmp.Or(needless, err); {
	case err == nil:
		return about, nil
	case !force:
		return Word{}, err
	}
	of, err := system()
	return Word{Kind: Forced, System: of, Timeline: t}, err
}

// on returns the one of waits that is about timeline t. Where servers on it lack more and less of the same WAL it is
// the one that covers the others. An election takes none of these while both are there, if their histories differ.
func on(waits []Word, t lsn.TimelineID) (Word, error) {
	about := slices.DeleteFunc(slices.Clone(waits), func(w Word) bool { return w.Kind != Said || w.Timeline != t })
	if len(about) == 0 {
		return Word{}, errNothing
	}
	for _, w := range about {
		if !slices.ContainsFunc(about, func(other Word) bool { return !w.Covers(other.lack(), nil) }) {
			return w, nil
		}
	}
	return Word{}, errSeveral
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

// Refused returns the lacks for which this proxy refused servers last, but for what is given up. waits are refused now,
// said was accepted last. A loss that a member told of is left to that member.
func Refused(waits []Word, said Word) (all []*walsource.LackError) {
	for _, w := range waits {
		e := w.lack()
		givenUp := said.Kind == Used && said.Timeline == w.Of && said.To == w.To
		if e != nil && !givenUp && !(e.Lost && e.By != "") {
			all = append(all, e)
		}
	}
	return all
}

// lack returns the lack that w, a Said word, is about; nil: w is another one.
func (w Word) lack() *walsource.LackError {
	if w.Kind != Said {
		return nil
	}
	return &walsource.LackError{
		System: w.System, Timeline: w.Timeline, From: w.From, To: w.To, Of: w.Of, Lost: w.IsLoss(w.Timeline), By: w.By,
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

// Covers reports whether w accepts e while servers are refused for waits (ruling R48). A primary that has lost WAL
// writes on, so where that begins moves. It is false for a nil e.
func (w Word) Covers(e *walsource.LackError, waits []Word) bool {
	if e == nil || w.Timeline != e.Timeline || w.System != 0 && e.System != 0 && w.System != e.System {
		return false
	}
	switch w.Kind {
	case Forced:
		return true
	case Bare:
		return !e.Lost && IsOn(waits, e.Timeline)
	case Said:
		return w.Of == e.Of && e.To <= w.To && (e.Lost || e.From >= w.From)
	}
	return false
}

// Void reports whether w is over: the proxy follows a server by itself, or w covers none of the refusals of its
// timeline. Servers are refused for all now, and were for was at the look before.
func (w Word) Void(followed lsn.TimelineID, all []*walsource.LackError, was []Word) bool {
	about := func(e *walsource.LackError) bool { return e.Timeline == w.Timeline }
	switch {
	case !w.Open():
		return false
	case w.Kind == Forced:
		return len(all) == 0 && followed >= w.Timeline
	case w.Kind == Bare:
		fork := func(e *walsource.LackError) bool { return !e.Lost }
		return !slices.ContainsFunc(all, fork) || !IsOn(was, w.Timeline)
	case len(all) == 0:
		return true
	}
	covered := func(e *walsource.LackError) bool { return w.Covers(e, was) }
	return slices.ContainsFunc(all, about) && !slices.ContainsFunc(all, covered)
}

// IsOn reports whether one of waits is about a server on timeline t.
func IsOn(waits []Word, t lsn.TimelineID) bool {
	return slices.ContainsFunc(waits, func(w Word) bool { return w.Kind == Said && w.Timeline == t })
}

// Look lists the changes that a look at the servers makes to the two files of words.
type Look struct {
	Void    bool   // the operator's word is over: it is to be removed, and if that fails nothing else is to change
	Note    bool   // what is refused has changed: Lacking is to be noted
	Lacking []Word // about what is refused now
}

// At returns the changes to make when servers are refused for all, and timeline followed is followed, 0: none. w is the
// operator's word, and was is noted as refused by the look before.
func (w Word) At(followed lsn.TimelineID, all []*walsource.LackError, was []Word) Look {
	look := Look{Void: w.Void(followed, all, was)}
	for _, e := range all {
		look.Lacking = append(look.Lacking, For(e))
	}
	look.Note = !slices.EqualFunc(look.Lacking, was, func(a, b Word) bool { return a.String() == b.String() })
	return look
}

// GivesUp reports whether p is a position that a member had said before it was given up. What it says later is new.
func (w Word) GivesUp(p lsn.Point) bool {
	return w.Kind == Used && w.Timeline == p.Timeline && slices.Contains(w.Heard, p.LSN)
}
