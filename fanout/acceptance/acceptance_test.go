package acceptance

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

var (
	forked = &walsource.LackError{System: 7, Timeline: 3, From: 0x3000060, To: 0x5000000, Of: 2}
	lost   = &walsource.LackError{System: 7, Timeline: 2, From: 0x3000060, To: 0x5000000, Of: 2, Lost: true}
)

func word(t *testing.T, text string) Word {
	t.Helper()
	w, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// lacks lists e, and nothing for nil.
func lacks(e *walsource.LackError) []*walsource.LackError {
	if e == nil {
		return nil
	}
	return []*walsource.LackError{e}
}

func words(all ...*walsource.LackError) (w []Word) {
	for _, e := range all {
		if e != nil {
			w = append(w, For(e))
		}
	}
	return w
}

func same(a, b Word) bool { return a.String() == b.String() }

// TestWordIsReadAgain: what is written is what is read.
func TestWordIsReadAgain(t *testing.T) {
	for _, text := range []string{"3", "3 force", "2 0/3000060 0/5000000 of 1", "2 0/3000060 0/5000000",
		"3 force in 7000000000000000001", "2 0/3000060 0/5000000 of 1 in 7",
		"2 0/3000060 0/5000000 of 1 in 7 by b", "2 0/3000060 0/5000000 of 1 by b", "2 0/3000060 0/5000000 aside", "2 0/3000060 FFFFFFFF/FFFFFFFF aside 0/4000000 0/5000000",
		"2 0/0 0/5000000 aside end 0/6000000 has 0/4000000 0/5000000", "2 0/3000060 0/5000000 aside end 0/6000000", "2 0/3000060 0/5000000 kept"} {
		w, err := Parse(text + "\n")
		if err != nil || w.String() != text {
			t.Errorf("%q is read as %q, %v", text, w, err)
		}
	}
}

// TestNoWord: a line that is cut off, or of another form, says nothing.
func TestNoWord(t *testing.T) {
	for _, text := range []string{"", "x", "2 x", "1 2", "1 0/1", "1 0/1 0/2 away", "1 0/1 0/2 aside end", "1 0/1 0/2 aside has x", "1 0/1 0/2 kept 0/1", "2 0/1 0/5000000 of x", "2 in 7", "2 force in 0",
		"2 0/3000060 0/5000000 in 7", "2 0/1 0/2 by b"} {
		if w, err := Parse(text); err == nil || w.Kind != None {
			t.Errorf("%q is a word: %+v", text, w)
		}
	}
}

// TestCovers: a word accepts what it is about, and no more.
func TestCovers(t *testing.T) {
	on, more, other := *lost, *lost, *forked
	on.From += 0x1000 // the primary writes on
	more.To++
	other.System = 8
	for name, c := range map[string]struct {
		word  string
		e     *walsource.LackError
		waits []Word
		want  bool
	}{
		"nothing waits":               {"2 force", nil, nil, false},
		"the loss":                    {"2 0/3000060 0/5000000 of 2", lost, nil, true},
		"the primary writes on":       {"2 0/3000060 0/5000000 of 2", &on, nil, true},
		"more is lost":                {"2 0/3000060 0/5000000 of 2", &more, nil, false},
		"another timeline":            {"2 0/3000060 0/5000000 of 2", forked, nil, false},
		"forced":                      {"3 force", forked, nil, true},
		"forced, of this system":      {"3 force in 7", forked, nil, true},
		"forced, of another system":   {"3 force in 7", &other, nil, false},
		"of v0.1.0, it waited":        {"3", forked, []Word{For(lost), For(forked)}, true},
		"of v0.1.0, nothing waited":   {"3", forked, nil, false},
		"of v0.1.0, on its timeline":  {"2", lost, []Word{For(lost)}, false},
		"used":                        {"2 0/3000060 0/5000000", lost, nil, false},
		"of a fork that came earlier": {"3 0/3000061 0/5000000 of 2", forked, nil, false},
	} {
		if got := word(t, c.word).Covers(c.e, c.waits); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestVoid: a word that was not used ends with what it was about.
func TestVoid(t *testing.T) {
	more := *lost
	more.To++
	for name, c := range map[string]struct {
		word     string
		was      *walsource.LackError
		followed lsn.TimelineID
		now      *walsource.LackError
		void     bool
	}{
		"the same":                   {"2 0/3000060 0/5000000 of 2", lost, 0, lost, false},
		"more is lost":               {"2 0/3000060 0/5000000 of 2", lost, 0, &more, true},
		"another server beside":      {"3 0/3000060 0/5000000 of 2", forked, 0, lost, false},
		"followed by itself":         {"2 0/3000060 0/5000000 of 2", lost, 2, nil, true},
		"forced, before it comes":    {"2 force", nil, 1, nil, false},
		"forced, followed by itself": {"2 force", nil, 2, nil, true},
		"of v0.1.0, it waited":       {"3", forked, 0, forked, false},
		"of v0.1.0, nothing waits":   {"3", nil, 1, nil, true},
		"used":                       {"2 0/3000060 0/5000000", lost, 2, nil, false},
		"kept":                       {"2 0/3000060 0/5000000 kept", lost, 2, nil, false},
	} {
		if got := word(t, c.word).Void(c.followed, lacks(c.now), words(c.was)); got != c.void {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestLook: what is refused is noted when it is something else, and a word that is over is removed, each by itself.
func TestLook(t *testing.T) {
	for name, c := range map[string]struct {
		word       string
		was        *walsource.LackError
		followed   lsn.TimelineID
		now        *walsource.LackError
		void, note bool
	}{
		"nothing was, and is, refused":         {"2 force", nil, 1, nil, false, false},
		"a server is refused":                  {"2 0/3000060 0/5000000 of 2", nil, 0, lost, false, true},
		"it still is":                          {"2 0/3000060 0/5000000 of 2", lost, 0, lost, false, false},
		"another one is":                       {"3 0/3000060 0/5000000 of 2", forked, 0, lost, false, true},
		"none is any more":                     {"2 0/3000060 0/5000000 of 2", lost, 2, nil, true, true},
		"none is, and the word came too late":  {"2 0/3000060 0/5000000 of 2", nil, 2, nil, true, false},
		"what was given up is refused no more": {"2 0/3000060 0/5000000", lost, 2, nil, false, true},
	} {
		got := word(t, c.word).At(c.followed, lacks(c.now), words(c.was))
		if got.Void != c.void || got.Note != c.note || !slices.EqualFunc(got.Lacking, words(c.now), same) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestSay: an operator accepts what is refused. Anything else takes force, and is about one system then.
func TestSay(t *testing.T) {
	needless, unread := Needless(true, false, "host=p", 2), errors.New("not read")
	if needless == nil || Needless(false, false, "host=p", 2) != nil || Needless(true, true, "", 2) != nil {
		t.Fatal("a stream from a server, and that alone, makes a word needless")
	}
	for name, c := range map[string]struct {
		waits    []Word
		t        lsn.TimelineID
		force    bool
		needless error
		read     error
		want     string
		err      error
	}{
		"what is refused":         {words(lost), 2, false, nil, nil, "2 0/3000060 0/5000000 of 2 in 7", nil},
		"by force, too":           {words(lost), 2, true, nil, nil, "2 0/3000060 0/5000000 of 2 in 7", nil},
		"another timeline":        {words(lost), 3, false, nil, nil, "", errNothing},
		"another one, by force":   {words(lost), 3, true, nil, nil, "3 force in 9", nil},
		"nothing is refused":      {nil, 3, false, nil, nil, "", errNothing},
		"needless":                {words(lost), 2, false, needless, nil, "", needless},
		"needless, by force":      {words(lost), 2, true, needless, nil, "2 force in 9", nil},
		"the store is not read":   {nil, 2, true, nil, unread, "", unread},
		"nothing, and not needed": {nil, 2, false, needless, nil, "", needless},
	} {
		w, err := Say(c.waits, c.t, c.force, c.needless, func() (lsn.SystemID, error) { return 9, c.read })
		if !errors.Is(err, c.err) || err == nil && w.String() != c.want {
			t.Errorf("%s: %q, %v", name, w, err)
		}
	}
}

// TestUse: what was used is given up, for what members had said until then, and is set aside once.
func TestUse(t *testing.T) {
	w := Use(lost, []lsn.LSN{0x4000000, 0x5000000}, &walsource.Aside{End: 0x6000000, Has: 0x7000000})
	for at, want := range map[lsn.LSN]bool{0x4000000: true, 0x5000000: true, 0x4000001: false, 0x3000060: false} {
		if w.GivesUp(lsn.Point{Timeline: 2, LSN: at}) != want || w.GivesUp(lsn.Point{Timeline: 1, LSN: at}) {
			t.Errorf("%s is given up: %t", at, !want)
		}
	}
	want := walstore.Aside{Name: "2-0-3000060-lost", From: lsn.Point{Timeline: 2, LSN: 0x3000060}, Has: 0x3000060}
	aside, after := w.SetAside(lsn.Point{})
	if aside != want || after.String() != "2 0/3000060 0/5000000 0/4000000 0/5000000" {
		t.Errorf("%+v is set aside, and %q stands", aside, after)
	}
	unknown := *lost
	unknown.From = lsn.Invalid
	aside, _ = Use(&unknown, nil, &walsource.Aside{End: 0x6000000, Has: 0x4000000}).SetAside(lsn.Point{})
	if aside.From.LSN != lsn.Invalid || aside.Has != 0x4000000 {
		t.Errorf("nobody knows since where, the server has 0/4000000: %+v", aside)
	}
	if aside, _ := after.SetAside(lsn.Point{}); aside != (walstore.Aside{}) {
		t.Errorf("the next start sets aside too: %+v", aside)
	}
	for text, open := range map[string]bool{"2": true, "2 force": true, "2 0/1 0/2 of 2": true, "2 0/1 0/2": false, "2 0/1 0/2 kept": false} {
		if w := word(t, text); (w.Revocable(2) == nil) != open || w.Revocable(3) == nil {
			t.Errorf("%q can be taken back: %t", text, !open)
		}
	}
	for text, want := range map[string]error{"2 0/1 0/2 aside": errUsedAside, "2 0/1 0/2": errUsed, "3 0/1 0/2": errNoWord} {
		if err := word(t, text).Revocable(2); !errors.Is(err, want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestGoneOnSinceIsKept: a start sets aside what the operator's word is about. WAL that came since is not given up: then
// the word is over, and keeps nothing from being a position that members say.
func TestGoneOnSinceIsKept(t *testing.T) {
	const used, of010 = "2 0/3000060 0/5000000 aside end 0/4000000 0/4800000", "2 0/3000060 0/5000000 aside 0/4800000"
	for name, c := range map[string]struct {
		word string
		end  lsn.Point
		kept bool
	}{
		"as it was":                         {used, lsn.Point{Timeline: 2, LSN: 0x4000000}, false},
		"less was on the disk":              {used, lsn.Point{Timeline: 2, LSN: 0x3FFFF00}, false},
		"a start was cut short":             {used, lsn.Point{}, false},
		"it has gone on":                    {used, lsn.Point{Timeline: 2, LSN: 0x4000001}, true},
		"on another timeline":               {used, lsn.Point{Timeline: 3, LSN: 0x3F00000}, true},
		"its end is not known":              {of010, lsn.Point{Timeline: 2, LSN: 0x5000000}, false},
		"its end is not known, it has gone": {of010, lsn.Point{Timeline: 2, LSN: 0x5000001}, true},
	} {
		aside, after := word(t, c.word).SetAside(c.end)
		if (after.String() == "2 0/3000060 0/5000000 kept") != c.kept || (aside == walstore.Aside{}) != c.kept {
			t.Errorf("%s: %+v is set aside, and %q stands", name, aside, after)
		}
		if after.GivesUp(lsn.Point{Timeline: 2, LSN: 0x4800000}) == c.kept {
			t.Errorf("%s: what a member had said is given up: %t", name, c.kept)
		}
	}
}

// TestRefused: what a member said, the member says again; what is given up is refused no more.
func TestRefused(t *testing.T) {
	heard := *lost
	heard.By = "b"
	other := *lost
	other.To++
	unknown := *forked // nobody knows how far
	unknown.To, unknown.By = walstore.PromisedAll, "b"
	for name, c := range map[string]struct {
		waits *walsource.LackError
		said  Word
		known bool
	}{
		"its end is not known":          {&unknown, Word{}, true},
		"its end is not known, give up": {&unknown, Use(&unknown, nil, nil), false},
		"nothing":                       {nil, Word{}, false},
		"a loss":                        {lost, Word{}, true},
		"a fork":                        {forked, Word{}, true},
		"it is given up":                {forked, Use(forked, nil, nil), false},
		"a member's":                    {&heard, Word{}, false},
		"given up":                      {lost, Use(lost, nil, nil), false},
		"another one is":                {lost, Use(&other, nil, nil), true},
		"accepted":                      {lost, For(lost), true},
	} {
		if all := Refused(words(c.waits), c.said); (len(all) == 1) != c.known || c.known && *all[0] != *c.waits {
			t.Errorf("%s: %+v", name, all)
		}
	}
}

// TestFencedTimelineIsNotAccepted: a fence is for good, so nothing is given up for a primary on that timeline.
func TestFencedTimelineIsNotAccepted(t *testing.T) {
	if err := Fenced(nil, 2); err != nil {
		t.Errorf("nobody is fenced: %v", err)
	}
	waits := words(lost)
	for want, names := range map[string][]string{
		"a is fenced on timeline 2, which is for good": {"a"}, "a and b are fenced on timeline 2": {"a", "b"},
	} {
		_, err := Say(waits, 2, false, Fenced(names, 2), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", names, err, want)
		}
	}
}
