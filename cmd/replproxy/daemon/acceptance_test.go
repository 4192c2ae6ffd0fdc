package daemon

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/fanout/acceptance"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/grammar/lsn"
)

func newAcceptance(t *testing.T) wordFiles {
	return wordFiles{dir: t.TempDir(), log: slog.New(slog.DiscardHandler)}
}

func (a wordFiles) put(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, acceptName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

var (
	forked = &walsource.LackError{System: 7, Timeline: 3, From: 0x3000060, To: 0x5000000, Of: 2}
	lost   = &walsource.LackError{System: 7, Timeline: 2, From: 0x3000060, To: 0x5000000, Of: 2, Lost: true}
)

// TestAcceptance: a word holds for what was refused when it was said, and is used once. Given up is what members had
// said until then.
func TestAcceptance(t *testing.T) {
	a := newAcceptance(t)
	if a.say(2, false, nil) == nil || a.Accepted(lost) {
		t.Error("without a lack something is accepted")
	}
	a.Waits(0, lacks(lost))
	if a.say(3, false, nil) == nil {
		t.Error("timeline 3 is accepted, 2 waits")
	}
	if err := a.say(2, false, nil); err != nil || !a.Accepted(lost) || a.Accepted(forked) {
		t.Errorf("%v: timeline 2 is not accepted, or 3 is", err)
	}
	on := *lost // the primary writes on
	on.From += 0x1000
	if a.Waits(0, lacks(&on)); !a.Accepted(&on) {
		t.Error("the word is over because the primary writes on")
	}
	if err := a.Use(lost, []lsn.LSN{0x4000000, 0x5000000}, &walsource.Aside{End: 0x5000000}); err != nil {
		t.Fatal(err)
	}
	if x := a.waitsForRestart(); x == nil || x.Timeline != 2 || x.To != 0x5000000 || a.say(2, true, nil) == nil {
		t.Errorf("status has %+v, or another word takes this one's place", x)
	}
	aside, done := a.setAside()
	if x, err := aside(lsn.Point{Timeline: 2, LSN: 0x5000000}); x.Name != "2-0-3000060-lost" || err != nil || a.Accepted(lost) {
		t.Errorf("%+v is set aside, %v", x, err)
	}
	if err := done(); err != nil {
		t.Fatal(err)
	}
	if x, err := aside(lsn.Point{}); x.Name != "" || err != nil || a.waitsForRestart() != nil {
		t.Errorf("the next start would set aside too: %+v, %v", x, err)
	}
	for at, want := range map[lsn.LSN]bool{0x4000000: true, 0x5000000: true, 0x4000001: false, 0x3000060: false} {
		if a.GivenUp(lsn.Point{Timeline: 2, LSN: at}) != want || a.GivenUp(lsn.Point{Timeline: 1, LSN: at}) {
			t.Errorf("%s is given up: %t", at, !want)
		}
	}
	for _, text := range []string{"", "x", "2 x", "1 2", "1 0/1", "1 0/1 0/2 away", "2 0/1 0/5000000 of x", "2 in 7", "2 force in 0",
		"2 force in 8", "2 0/3000060 0/5000000 of 2 in 8", "2 0/3000060 0/5000000 in 7", strings.Repeat("9", 30)} {
		if a.put(t, text); a.Accepted(lost) || a.GivenUp(lsn.Point{Timeline: 1, LSN: 2}) {
			t.Errorf("%q is a word", text)
		}
	}
}

// lacks lists e, and nothing for nil.
func lacks(e *walsource.LackError) []*walsource.LackError {
	if e == nil {
		return nil
	}
	return []*walsource.LackError{e}
}

// TestEachRefusedIsAccepted: of several hosts two are refused. Whichever is right is accepted, and both are known after a
// restart. A line that is damaged hides none of the others.
func TestEachRefusedIsAccepted(t *testing.T) {
	a, both := newAcceptance(t), []*walsource.LackError{lost, forked}
	a.Waits(0, both)
	for _, e := range both {
		if err := a.say(e.Timeline, false, nil); err != nil || !a.Accepted(e) {
			t.Errorf("timeline %s is not accepted: %v", e.Timeline, err)
		}
		if a.Waits(0, both); !a.Accepted(e) {
			t.Errorf("timeline %s is accepted no more", e.Timeline)
		}
	}
	again := wordFiles{dir: a.dir, log: a.log}
	if all := again.Refused(); len(all) != 2 || *all[0] != *lost || *all[1] != *forked {
		t.Errorf("%+v after a restart", all)
	}
	path := filepath.Join(a.dir, lackingName)
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append([]byte("2 x\n"), text...), 0o600)
	}
	if all := again.Refused(); err != nil || len(all) != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	if a.Waits(2, nil); a.Refused() != nil {
		t.Error("a server is followed, and others are refused still")
	}
}

// TestWordIsVoid: a word that was not used ends with what it was about.
func TestWordIsVoid(t *testing.T) {
	more, other := *lost, *forked
	more.To++
	other.From--
	for name, c := range map[string]struct {
		word     string
		before   *walsource.LackError // waits when the word is said
		followed lsn.TimelineID
		now      *walsource.LackError
		holds    bool
	}{
		"the same loss":                           {"2 0/3000060 0/5000000 of 2", lost, 0, lost, true},
		"more is lost":                            {"2 0/3000060 0/5000000 of 2", lost, 0, &more, false},
		"an earlier fork":                         {"3 0/3000060 0/5000000 of 2", forked, 0, &other, false},
		"another server beside":                   {"3 0/3000060 0/5000000 of 2", forked, 0, lost, true},
		"followed by itself":                      {"2 0/3000060 0/5000000 of 2", lost, 2, nil, false},
		"of this system":                          {"2 0/3000060 0/5000000 of 2 in 7", lost, 0, lost, true},
		"of another system":                       {"2 0/3000060 0/5000000 of 2 in 8", lost, 0, lost, false},
		"forced, for this system":                 {"2 force in 7", nil, 0, lost, true},
		"of release v0.1.0, nothing waited":       {"3", nil, 0, forked, false},
		"of release v0.1.0, nothing waits":        {"3", nil, 1, nil, false},
		"of release v0.1.0, it waited":            {"3", forked, 0, forked, true},
		"of release v0.1.0, on the same timeline": {"2", lost, 0, lost, false},
		"forced, before it comes":                 {"2 force", nil, 1, nil, true},
		"forced":                                  {"2 force", nil, 0, lost, true},
		"forced, followed by itself":              {"2 force", nil, 2, nil, false},
	} {
		a := newAcceptance(t)
		a.Waits(0, lacks(c.before))
		a.put(t, c.word+"\n")
		a.Waits(c.followed, lacks(c.now))
		if a.word().Open() != c.holds {
			t.Errorf("%s: holds is %t", name, !c.holds)
		}
		if c.holds != (a.revoke(a.word().Timeline) == nil) || a.word().Open() {
			t.Errorf("%s: it is not taken back", name)
		}
	}
}

// TestRefusedOutlivesARestart: what was refused is known at the next start, until it is given up or a server is followed.
// A loss that a member told of, the member tells again.
func TestRefusedOutlivesARestart(t *testing.T) {
	heard := *lost
	heard.By = "b"
	a := newAcceptance(t)
	for _, c := range []struct {
		waits *walsource.LackError
		known bool
	}{{nil, false}, {lost, true}, {forked, true}, {&heard, false}, {lost, true}} {
		a.Waits(0, lacks(c.waits))
		if all := a.Refused(); (len(all) == 1) != c.known || c.known && *all[0] != *c.waits {
			t.Errorf("%+v waits: %+v", c.waits, all)
		}
	}
	a.put(t, a.lacking()[0].String())
	if err := a.Use(lost, nil, &walsource.Aside{}); err != nil || a.Refused() != nil {
		t.Errorf("%v: what is given up is refused", err)
	}
	if err := a.write(lackingName, acceptance.For(lost)); err != nil || a.Refused() != nil { // a crash in between
		t.Errorf("%v: what is given up is refused", err)
	}
}

// TestKeptIsTakenBack: a word is over when the store has gone on with what it gives up, found out while it streams or at
// a start. The next start sets nothing aside. Until the loss is taken back too that is tried again.
func TestKeptIsTakenBack(t *testing.T) {
	for name, found := range map[string]func(a wordFiles, takeBack func(lsn.TimelineID, lsn.LSN, lsn.LSN) error) error{
		"while it streams": wordFiles.keep,
		"at a start": func(a wordFiles, takeBack func(lsn.TimelineID, lsn.LSN, lsn.LSN) error) error {
			aside, done := a.setAside()
			x, err := aside(lsn.Point{Timeline: 3, LSN: 0x5000001})
			if err = errors.Join(err, done()); err != nil || x.Name != "" {
				t.Errorf("%+v is set aside, %v", x, err)
			}
			return a.keep(takeBack)
		},
	} {
		a, back, failed := newAcceptance(t), 0, errors.New("the disk is full")
		if err := a.keep(nil); err != nil {
			t.Errorf("%s: without a word: %v", name, err)
		}
		if err := a.Use(lost, []lsn.LSN{0x4000000}, &walsource.Aside{End: 0x5000000}); err != nil {
			t.Fatal(err)
		}
		err := found(a, func(lsn.TimelineID, lsn.LSN, lsn.LSN) error { return failed })
		if !errors.Is(err, failed) || a.waitsForRestart() != nil || a.GivenUp(lsn.Point{Timeline: 2, LSN: 0x4000000}) {
			t.Errorf("%s: %v, or WAL is given up", name, err)
		}
		aside, _ := a.setAside()
		if x, err := aside(lsn.Point{Timeline: 2, LSN: 0x5000000}); x.Name != "" || err != nil {
			t.Errorf("%s: a crash in between, and %+v is set aside, %v", name, x, err)
		}
		for range 2 {
			err := a.keep(func(of lsn.TimelineID, from, to lsn.LSN) error {
				if back++; of != lost.Of || from != lost.From || to != lost.To {
					t.Errorf("%s: WAL of %d from %s to %s is kept", name, of, from, to)
				}
				return nil
			})
			if err != nil || back != 1 || a.word().Kind != acceptance.None {
				t.Errorf("%s: taken back %d times, %v", name, back, err)
			}
		}
	}
}
