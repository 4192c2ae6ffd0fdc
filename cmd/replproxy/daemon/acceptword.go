package daemon

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// word is a line about WAL that is lacking:
//
//	N                            accepted, by release v0.1.0, which did not say what it is about
//	N force [in SYSTEM]          accepted, whatever is to come
//	N FROM TO of OF [in SYSTEM] [by MEMBER]
//	                             accepted: the server on timeline N lacks WAL of timeline OF beyond FROM, up to TO, as
//	                             MEMBER says, or this proxy
//	OF FROM TO [aside] LSN...    it was used: that WAL is given up. Members had said those positions
//
// With aside the next start sets the store's WAL aside first. Without SYSTEM, which is not known of an empty store, it
// is about any.
type word struct {
	kind     wordKind
	system   lsn.SystemID // 0: not known; of a forcedWord or a saidWord
	timeline lsn.TimelineID
	from, to lsn.LSN
	of       lsn.TimelineID // of a saidWord
	by       string         // member that knows of it; of a saidWord
	aside    bool           // these are of a usedWord
	heard    []lsn.LSN
}

type wordKind int

const (
	noWord wordKind = iota
	bareWord
	forcedWord
	saidWord
	usedWord
)

// Words of a line.
const (
	forceText = "force"
	ofText    = "of"
	asideText = "aside"
	inText    = "in"
	byText    = "by"
)

func parseWord(text string) (w word, err error) {
	bad := func(err error) (word, error) {
		return word{}, fmt.Errorf("%q is no accepted timeline: %w", strings.TrimSpace(text), err)
	}
	f := strings.Fields(text)
	if n := len(f) - 2; n >= 5 && f[n] == byText {
		w.by, f = f[n+1], f[:n]
	}
	if n := len(f) - 2; n > 0 && f[n] == inText {
		system, err := strconv.ParseUint(f[n+1], 10, 64)
		if err != nil || system == 0 || n != 2 && n != 5 {
			return bad(errors.New("it names no system, or is about none"))
		}
		w.system, f = lsn.SystemID(system), f[:n]
	}
	if len(f) == 0 || len(f) == 2 && f[1] != forceText {
		return bad(errors.New("it is cut off"))
	}
	if w.timeline, err = parseTimeline(f[0]); err != nil {
		return bad(err)
	}
	switch len(f) {
	case 1:
		w.kind = bareWord
		return w, nil
	case 2:
		w.kind = forcedWord
		return w, nil
	}
	var err1, err2, err3 error
	w.from, err1 = lsn.Parse(f[1])
	w.to, err2 = lsn.Parse(f[2])
	w.kind = usedWord
	rest := f[3:]
	if len(rest) == 2 && rest[0] == ofText {
		w.kind = saidWord
		w.of, err3 = parseTimeline(rest[1])
		rest = nil
	} else if w.by != "" {
		return bad(errors.New("what was used is nobody's"))
	}
	if len(rest) > 0 && rest[0] == asideText {
		w.aside, rest = true, rest[1:]
	}
	if err := errors.Join(err1, err2, err3); err != nil {
		return bad(err)
	}
	for _, x := range rest {
		at, err := lsn.Parse(x)
		if err != nil {
			return bad(err)
		}
		w.heard = append(w.heard, at)
	}
	return w, nil
}

func parseTimeline(text string) (lsn.TimelineID, error) {
	t, err := strconv.ParseUint(text, 10, 32)
	return lsn.TimelineID(t), err
}

// wordFor is the word that accepts e and no more.
func wordFor(e *walsource.LackError) word {
	if e == nil {
		return word{}
	}
	return word{kind: saidWord, system: e.System, timeline: e.Timeline, from: e.From, to: e.To, of: e.Of, by: e.By}
}

func (w word) String() string {
	switch w.kind {
	case noWord:
		return ""
	case bareWord:
		return w.timeline.String()
	case forcedWord:
		return w.timeline.String() + " " + forceText + w.where()
	case saidWord:
		text := fmt.Sprintf("%s %s %s %s %s%s", w.timeline, w.from, w.to, ofText, w.of, w.where())
		if w.by != "" {
			text += " " + byText + " " + w.by
		}
		return text
	}
	text := fmt.Sprintf("%s %s %s", w.timeline, w.from, w.to)
	if w.aside {
		text += " " + asideText
	}
	for _, at := range w.heard {
		text += " " + at.String()
	}
	return text
}

// where names the system.
func (w word) where() string {
	if w.system == 0 {
		return ""
	}
	return " " + inText + " " + w.system.String()
}

// isLoss reports whether w is about WAL that the primary of timeline t has lost itself.
func (w word) isLoss(t lsn.TimelineID) bool {
	return w.kind == saidWord && w.timeline == t && w.of == t
}

// open reports whether w is not used yet.
func (w word) open() bool { return w.kind != noWord && w.kind != usedWord }

// covers reports whether w accepts e while waits is refused (ruling R48). A primary that has lost WAL writes on, so
// where that begins moves.
func (w word) covers(e *walsource.LackError, waits word) bool {
	if e == nil || w.timeline != e.Timeline || w.system != 0 && e.System != 0 && w.system != e.System {
		return false
	}
	switch w.kind {
	case forcedWord:
		return true
	case bareWord:
		return !e.Lost && waits.kind == saidWord && waits.timeline == e.Timeline
	case saidWord:
		return w.of == e.Of && e.To <= w.to && (e.Lost || e.From >= w.from)
	}
	return false
}

// void reports whether w is over: the proxy follows a server by itself, or e waits now, nil: nothing, and was that of
// the look before.
func (w word) void(followed lsn.TimelineID, e *walsource.LackError, was word) bool {
	switch {
	case !w.open():
		return false
	case w.kind == forcedWord:
		return e == nil && followed >= w.timeline
	case w.kind == bareWord:
		return e == nil || was.kind != saidWord || was.timeline != w.timeline || e.Lost
	}
	return e == nil || e.Timeline == w.timeline && !w.covers(e, was)
}

// givesUp reports whether p is a position that a member had said before it was given up. What it says later is new.
func (w word) givesUp(p lsn.Point) bool {
	return w.kind == usedWord && w.timeline == p.Timeline && slices.Contains(w.heard, p.LSN)
}
