package acceptance

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Word is a line about WAL that is lacking:
//
//	N                            accepted, by release v0.1.0, which did not say what it is about
//	N force [in SYSTEM]          accepted, whatever is to come
//	N FROM TO of OF [in SYSTEM] [by MEMBER]
//	                             accepted: the server on timeline N lacks WAL of timeline OF beyond FROM, up to TO, as
//	                             MEMBER says, or this proxy
//	OF FROM TO [aside [end END] [has HAS]] LSN...
//	                             it was used: that WAL is given up. Members had said those positions
//	OF FROM TO kept              it was used with aside, and is over: the store has that WAL and keeps it
//
// With aside the next start sets the store's WAL aside first, which ended at END when the word was used. The server may
// have WAL up to HAS, where FROM is not known. Without SYSTEM, which is not known of an empty store, it is about any.
// The zero Word is none.
type Word struct {
	Kind     Kind
	System   lsn.SystemID // 0: not known; of a Forced or a Said word
	Timeline lsn.TimelineID
	From, To lsn.LSN
	Of       lsn.TimelineID // of a Said word
	By       string         // member that knows of it; of a Said word
	Aside    bool           // the store has some of that WAL; of a Used word
	End      lsn.LSN        // of the store's WAL; Invalid: not known; of a word with Aside
	Has      lsn.LSN        // the server may have WAL up to there; Invalid: up to From; of a word with Aside
	Heard    []lsn.LSN      // positions that members had said; of a Used word
}

// Kind tells words apart.
type Kind int

// The kinds, in the order of the lines of [Word].
const (
	None Kind = iota
	Bare
	Forced
	Said
	Used
	Kept
)

// Words of a line.
const (
	forceText = "force"
	ofText    = "of"
	asideText = "aside"
	endText   = "end"
	hasText   = "has"
	keptText  = "kept"
	inText    = "in"
	byText    = "by"
)

// Parse reads a line, with or without its end. An error is about one that is cut off or of another form, as is an empty
// one: then no word was given.
func Parse(text string) (w Word, err error) {
	bad := func(err error) (Word, error) {
		return Word{}, fmt.Errorf("%q is no accepted timeline: %w", strings.TrimSpace(text), err)
	}
	f := strings.Fields(text)
	if n := len(f) - 2; n >= 5 && f[n] == byText {
		w.By, f = f[n+1], f[:n]
	}
	if n := len(f) - 2; n > 0 && f[n] == inText {
		system, err := strconv.ParseUint(f[n+1], 10, 64)
		if err != nil || system == 0 || n != 2 && n != 5 {
			return bad(errors.New("it names no system, or is about none"))
		}
		w.System, f = lsn.SystemID(system), f[:n]
	}
	if len(f) == 0 || len(f) == 2 && f[1] != forceText {
		return bad(errors.New("it is cut off"))
	}
	if w.Timeline, err = parseTimeline(f[0]); err != nil {
		return bad(err)
	}
	switch len(f) {
	case 1:
		w.Kind = Bare
		return w, nil
	case 2:
		w.Kind = Forced
		return w, nil
	}
	var err1, err2, err3 error
	w.From, err1 = lsn.Parse(f[1])
	w.To, err2 = lsn.Parse(f[2])
	w.Kind = Used
	rest := f[3:]
	if len(rest) == 2 && rest[0] == ofText {
		w.Kind = Said
		w.Of, err3 = parseTimeline(rest[1])
		rest = nil
	} else if w.By != "" {
		return bad(errors.New("what was used is nobody's"))
	}
	if len(rest) == 1 && rest[0] == keptText {
		w.Kind, rest = Kept, nil
	}
	var err4 error
	if len(rest) > 0 && rest[0] == asideText {
		w.Aside = true
		rest, err4 = w.parseAside(rest[1:])
	}
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return bad(err)
	}
	for _, x := range rest {
		at, err := lsn.Parse(x)
		if err != nil {
			return bad(err)
		}
		w.Heard = append(w.Heard, at)
	}
	return w, nil
}

// parseAside reads the positions of END and HAS, and returns what follows.
func (w *Word) parseAside(f []string) (rest []string, err error) {
	for _, x := range []struct {
		text string
		at   *lsn.LSN
	}{{endText, &w.End}, {hasText, &w.Has}} {
		if err == nil && len(f) > 1 && f[0] == x.text {
			*x.at, err = lsn.Parse(f[1])
			f = f[2:]
		}
	}
	return f, err
}

func parseTimeline(text string) (lsn.TimelineID, error) {
	t, err := strconv.ParseUint(text, 10, 32)
	return lsn.TimelineID(t), err
}

// For returns the word that accepts e and no more; None for nil.
func For(e *walsource.LackError) Word {
	if e == nil {
		return Word{}
	}
	return Word{Kind: Said, System: e.System, Timeline: e.Timeline, From: e.From, To: e.To, Of: e.Of, By: e.By}
}

// Use returns the word that was used for e, of which members had said heard. aside describes the store's own WAL, some
// of which is given up; nil: it has none of that.
func Use(e *walsource.LackError, heard []lsn.LSN, aside *walsource.Aside) Word {
	w := Word{Kind: Used, Timeline: e.Of, From: e.From, To: e.To, Heard: heard}
	if aside != nil {
		w.Aside, w.End = true, aside.End
		if w.From == lsn.Invalid {
			w.Has = aside.Has
		}
	}
	return w
}

// String returns the line, without its end; "" for None.
func (w Word) String() string {
	switch w.Kind {
	case None:
		return ""
	case Bare:
		return w.Timeline.String()
	case Forced:
		return w.Timeline.String() + " " + forceText + w.where()
	case Said:
		text := fmt.Sprintf("%s %s %s %s %s%s", w.Timeline, w.From, w.To, ofText, w.Of, w.where())
		if w.By != "" {
			text += " " + byText + " " + w.By
		}
		return text
	}
	text := fmt.Sprintf("%s %s %s", w.Timeline, w.From, w.To)
	if w.Kind == Kept {
		return text + " " + keptText
	}
	if w.Aside {
		text += " " + asideText
		if w.End != lsn.Invalid {
			text += " " + endText + " " + w.End.String()
		}
		if w.Has != lsn.Invalid {
			text += " " + hasText + " " + w.Has.String()
		}
	}
	for _, at := range w.Heard {
		text += " " + at.String()
	}
	return text
}

// where names the system.
func (w Word) where() string {
	if w.System == 0 {
		return ""
	}
	return " " + inText + " " + w.System.String()
}
