package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/replproxy/replproxy/fanout/walsource"
	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/datadir"
	"github.com/replproxy/replproxy/proxy/admin"
)

// Files in data_dir, of one [word] each. Whoever may write there may move the store away as well.
const (
	acceptName  = "accept-timeline"  // what the operator accepts although WAL is lacking (rulings R3, R32, R48)
	lackingName = "lacking-timeline" // what is refused now, so that the operator's word can say what it is about
)

// acceptance is the operator's word as the walreceiver asks for it; see [walsource.Acceptance].
type acceptance struct {
	dir string
	log *slog.Logger
	// giveUp makes durable, before the word is used, who may have the lost WAL; nil: nobody asks.
	giveUp func(e *walsource.LackError, aside bool) error
}

func (a acceptance) read(name string) word {
	text, err := os.ReadFile(filepath.Join(a.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return word{}
	}
	var w word
	if err == nil {
		w, err = parseWord(string(text))
	}
	if err != nil {
		a.log.Error("cannot read which timeline is accepted", "file", name, "err", err)
	}
	return w
}

// write makes w durable, no word by removing the file.
func (a acceptance) write(name string, w word) (err error) {
	path := filepath.Join(a.dir, name)
	if w.kind == noWord {
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

func (a acceptance) Accepted(e *walsource.LackError) bool {
	return a.read(acceptName).covers(e, a.read(lackingName))
}

func (a acceptance) Waits(followed lsn.TimelineID, e *walsource.LackError) {
	w, was := a.read(acceptName), a.read(lackingName)
	if w.void(followed, e, was) {
		a.log.Warn("an accepted timeline is void: nothing is refused there, or it is about another loss",
			"timeline", w.timeline, "accepted", w.String())
		if err := a.write(acceptName, word{}); err != nil {
			a.log.Error("cannot read which timeline is accepted", "err", err)
			return // the lack that waits stays as it is, and so the word is void at the next look too
		}
	}
	if now := wordFor(e); now.String() != was.String() {
		if err := a.write(lackingName, now); err != nil {
			a.log.Error("cannot note which timeline is refused: accept-timeline will not know it", "err", err)
		}
	}
}

func (a acceptance) Use(e *walsource.LackError, heard []lsn.LSN, aside bool) error {
	if e.Lost && a.giveUp != nil {
		if err := a.giveUp(e, aside); err != nil {
			return err
		}
	}
	uid := -1
	if info, err := os.Stat(filepath.Join(a.dir, acceptName)); err == nil {
		uid = datadir.Owner(info)
	}
	a.log.Warn("an operator's command", "command", "accept-timeline", "arguments", e.Timeline.String(), "uid", uid)
	err := a.write(acceptName,
		word{kind: usedWord, timeline: e.Of, from: e.From, to: e.To, aside: aside, heard: heard})
	if err != nil {
		return err
	}
	if err := a.write(lackingName, word{}); err != nil { // what was used is no reason to refuse, also if this fails
		a.log.Error("cannot note which timeline is refused: accept-timeline will not know it", "err", err)
	}
	return nil
}

// Refused returns the loss that this proxy refused last by WAL of its own, unless it is given up.
func (a acceptance) Refused() *walsource.LackError {
	w, used := a.read(lackingName), a.read(acceptName)
	if w.kind != saidWord || w.timeline != w.of || w.by != "" ||
		used.kind == usedWord && used.timeline == w.of && used.to == w.to {
		return nil
	}
	return &walsource.LackError{System: w.system, Timeline: w.timeline, From: w.from, To: w.to, Of: w.of, Lost: true}
}

// unused is the word that still waits for its server; nil: none does.
func (a acceptance) unused() *admin.Accepted {
	w := a.read(acceptName)
	if !w.open() {
		return nil
	}
	s := &admin.Accepted{Timeline: w.timeline, From: w.from, To: w.to, Of: w.of, Forced: w.kind == forcedWord}
	if w.system != 0 {
		s.System = w.system.String()
	}
	return s
}

// waitsForRestart reports whether WAL is given up that this proxy's own store still has.
func (a acceptance) waitsForRestart() bool { return a.read(acceptName).aside }

func (a acceptance) GivenUp(p lsn.Point) bool { return a.read(acceptName).givesUp(p) }

// setAside is the name under which this start has to set the store's WAL aside, and where what is given up begins;
// "": it has not. done is to be called when that is so.
func (a acceptance) setAside() (name string, from lsn.Point, done func() error) {
	w := a.read(acceptName)
	if !w.aside {
		return "", lsn.Point{}, func() error { return nil }
	}
	name = fmt.Sprintf("%s-%X-%X-lost", w.timeline, uint32(w.from>>32), uint32(w.from))
	w.aside = false
	return name, lsn.Point{Timeline: w.timeline, LSN: w.from}, func() error { return a.write(acceptName, w) }
}
