package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/replproxy/replproxy/fanout/acceptance"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/datadir"
	"github.com/replproxy/replproxy/proxy/admin"
)

// Files in data_dir, of an [acceptance.Word] a line. Whoever may write there may move the store away as well.
const (
	acceptName  = "accept-timeline"  // what the operator accepts although WAL is lacking (rulings R3, R32, R48)
	lackingName = "lacking-timeline" // what is refused now, so that the operator's word can say what it is about
)

// wordFiles reads and writes those files for the walreceiver, which asks about the operator's word; see
// [walsource.Acceptance].
type wordFiles struct {
	dir string
	log *slog.Logger
}

// word returns the operator's word.
func (a wordFiles) word() (w acceptance.Word) {
	text, err := os.ReadFile(filepath.Join(a.dir, acceptName))
	if errors.Is(err, fs.ErrNotExist) {
		return w
	}
	if err == nil {
		w, err = acceptance.Parse(string(text))
	}
	if err != nil {
		a.log.Error("cannot read which timeline is accepted", "file", acceptName, "err", err)
	}
	return w
}

// lacking returns the words about the servers that are refused now. A line that cannot be read hides no other.
func (a wordFiles) lacking() (all []acceptance.Word) {
	text, err := os.ReadFile(filepath.Join(a.dir, lackingName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		a.log.Error("cannot read which timeline is accepted", "file", lackingName, "err", err)
	}
	for line := range strings.Lines(string(text)) {
		w, err := acceptance.Parse(line)
		if err != nil {
			a.log.Error("cannot read which timeline is accepted", "file", lackingName, "err", err)
			continue
		}
		all = append(all, w)
	}
	return all
}

// write makes words durable, no word by removing the file.
func (a wordFiles) write(name string, words ...acceptance.Word) (err error) {
	path := filepath.Join(a.dir, name)
	var text []byte
	for _, w := range words {
		if w.Kind != acceptance.None {
			text = append(text, w.String()+"\n"...)
		}
	}
	if text == nil {
		if err = os.Remove(path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	} else {
		err = vfs.WriteFile(vfs.OS{}, path, text)
	}
	if err != nil {
		return fmt.Errorf("note which WAL is given up: %w", err)
	}
	return nil
}

func (a wordFiles) Accepted(e *walsource.LackError) bool {
	return a.word().Covers(e, a.lacking())
}

func (a wordFiles) Waits(followed lsn.TimelineID, all []*walsource.LackError) {
	w := a.word()
	look := w.At(followed, all, a.lacking())
	if look.Void {
		a.log.Warn("an accepted timeline is void: nothing is refused there, or it is about another loss",
			"timeline", w.Timeline, "accepted", w.String())
		if err := a.write(acceptName, acceptance.Word{}); err != nil {
			a.log.Error("cannot read which timeline is accepted", "err", err)
			return // the lack that waits stays as it is, and so the word is void at the next look too
		}
	}
	if look.Note {
		if err := a.write(lackingName, look.Lacking...); err != nil {
			a.log.Error("cannot note which timeline is refused: accept-timeline will not know it", "err", err)
		}
	}
}

func (a wordFiles) Use(e *walsource.LackError, heard []lsn.LSN, aside *walsource.Aside) error {
	uid := -1
	if info, err := os.Stat(filepath.Join(a.dir, acceptName)); err == nil {
		uid = datadir.Owner(info)
	}
	a.log.Warn("an operator's command", "command", "accept-timeline", "arguments", e.Timeline.String(), "uid", uid)
	if err := a.write(acceptName, acceptance.Use(e, heard, aside)); err != nil {
		return err
	}
	// What was used is no reason to refuse, also if this fails.
	if err := a.write(lackingName); err != nil {
		a.log.Error("cannot note which timeline is refused: accept-timeline will not know it", "err", err)
	}
	return nil
}

// Refused reads the losses for which this proxy refused servers last.
func (a wordFiles) Refused() []*walsource.LackError {
	return acceptance.Refused(a.lacking(), a.word())
}

// unused returns the word that still waits for its server; nil: none does.
func (a wordFiles) unused() *admin.Accepted {
	w := a.word()
	if !w.Open() {
		return nil
	}
	s := &admin.Accepted{
		Timeline: w.Timeline, From: w.From, To: w.To, Of: w.Of, Forced: w.Kind == acceptance.Forced,
	}
	if w.System != 0 {
		s.System = w.System.String()
	}
	return s
}

// waitsForRestart returns the WAL that is given up and that this proxy's own store still has; nil: none.
func (a wordFiles) waitsForRestart() *admin.Aside {
	w := a.word()
	if !w.Aside {
		return nil
	}
	return &admin.Aside{Timeline: w.Timeline, From: w.From, To: w.To}
}

func (a wordFiles) GivenUp(p lsn.Point) bool { return a.word().GivesUp(p) }

// keep takes back that WAL is given up which the store has until the next start. A crash in between leaves a word that
// says so: nothing is set aside then, and keep is to be called again.
func (a wordFiles) keep(takeBack func(t lsn.TimelineID, from, to lsn.LSN) error) error {
	was := a.word()
	w := was.Keep()
	if w.Kind != acceptance.Kept {
		return nil
	}
	if was.Kind != acceptance.Kept {
		if err := a.note(w); err != nil {
			return err
		}
	}
	if err := takeBack(w.Timeline, w.From, w.To); err != nil {
		return err
	}
	return a.write(acceptName, acceptance.Word{})
}

// note makes durable that w is over before the next start has set anything aside.
func (a wordFiles) note(w acceptance.Word) error {
	a.log.Warn("an accepted timeline is void: the store has gone on with the WAL that was given up",
		"timeline", w.Timeline, "from_lsn", w.From, "to_lsn", w.To)
	return a.write(acceptName, w)
}

// setAside returns the question of [walstore.Options], answered as [acceptance.Word.SetAside] does. A word that is over
// is noted as such at once. Call done once the store is open: it writes the word that stands then.
func (a wordFiles) setAside() (aside func(end lsn.Point) (walstore.Aside, error), done func() error) {
	write := func() error { return nil }
	aside = func(end lsn.Point) (walstore.Aside, error) {
		w := a.word()
		x, after := w.SetAside(end)
		if x.Name != "" {
			write = func() error { return a.write(acceptName, after) }
		} else if w.Aside {
			return x, a.note(after)
		}
		return x, nil
	}
	return aside, func() error { return write() }
}
