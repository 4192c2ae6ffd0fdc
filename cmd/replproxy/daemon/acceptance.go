package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/replproxy/replproxy/fanout/acceptance"
	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/datadir"
	"github.com/replproxy/replproxy/proxy/admin"
)

// Files in data_dir, of one [acceptance.Word] each. Whoever may write there may move the store away as well.
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

func (a wordFiles) read(name string) (w acceptance.Word) {
	text, err := os.ReadFile(filepath.Join(a.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return w
	}
	if err == nil {
		w, err = acceptance.Parse(string(text))
	}
	if err != nil {
		a.log.Error("cannot read which timeline is accepted", "file", name, "err", err)
	}
	return w
}

// write makes w durable, no word by removing the file.
func (a wordFiles) write(name string, w acceptance.Word) (err error) {
	path := filepath.Join(a.dir, name)
	if w.Kind == acceptance.None {
		if err = os.Remove(path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	} else {
		err = vfs.WriteFile(vfs.OS{}, path, []byte(w.String()+"\n"))
	}
	if err != nil {
		return fmt.Errorf("note which WAL is given up: %w", err)
	}
	return nil
}

func (a wordFiles) Accepted(e *walsource.LackError) bool {
	return a.read(acceptName).Covers(e, a.read(lackingName))
}

func (a wordFiles) Waits(followed lsn.TimelineID, e *walsource.LackError) {
	w := a.read(acceptName)
	look := w.At(followed, e, a.read(lackingName))
	if look.Void {
		a.log.Warn("an accepted timeline is void: nothing is refused there, or it is about another loss",
			"timeline", w.Timeline, "accepted", w.String())
		if err := a.write(acceptName, acceptance.Word{}); err != nil {
			a.log.Error("cannot read which timeline is accepted", "err", err)
			return // the lack that waits stays as it is, and so the word is void at the next look too
		}
	}
	if look.Note {
		if err := a.write(lackingName, look.Lacking); err != nil {
			a.log.Error("cannot note which timeline is refused: accept-timeline will not know it", "err", err)
		}
	}
}

func (a wordFiles) Use(e *walsource.LackError, heard []lsn.LSN, aside bool) error {
	uid := -1
	if info, err := os.Stat(filepath.Join(a.dir, acceptName)); err == nil {
		uid = datadir.Owner(info)
	}
	a.log.Warn("an operator's command", "command", "accept-timeline", "arguments", e.Timeline.String(), "uid", uid)
	if err := a.write(acceptName, acceptance.Use(e, heard, aside)); err != nil {
		return err
	}
	// What was used is no reason to refuse, also if this fails.
	if err := a.write(lackingName, acceptance.Word{}); err != nil {
		a.log.Error("cannot note which timeline is refused: accept-timeline will not know it", "err", err)
	}
	return nil
}

// Keep ends a word that is used, so that the next start sets nothing aside.
func (a wordFiles) Keep() error { return a.write(acceptName, acceptance.Word{}) }

// Refused reads the loss that this proxy refused last.
func (a wordFiles) Refused() *walsource.LackError {
	return acceptance.Refused(a.read(lackingName), a.read(acceptName))
}

// unused returns the word that still waits for its server; nil: none does.
func (a wordFiles) unused() *admin.Accepted {
	w := a.read(acceptName)
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

// waitsForRestart reports whether WAL is given up that this proxy's own store still has.
func (a wordFiles) waitsForRestart() bool { return a.read(acceptName).Aside }

func (a wordFiles) GivenUp(p lsn.Point) bool { return a.read(acceptName).GivesUp(p) }

// setAside returns the name under which this start has to set the store's WAL aside, as [acceptance.Word.SetAside]
// does. Call done once that has happened: it writes the word that stands then.
func (a wordFiles) setAside() (name string, from lsn.Point, done func() error) {
	name, from, after := a.read(acceptName).SetAside()
	if name == "" {
		return "", from, func() error { return nil }
	}
	return name, from, func() error { return a.write(acceptName, after) }
}
