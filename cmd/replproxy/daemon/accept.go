package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/durable"
	"github.com/replproxy/replproxy/proxy/admin"
)

// Word gives up WAL, or takes that back, on behalf of an operator. It writes to the data_dir of a proxy, whether that
// runs or not.
type Word struct{ a acceptance }

// OpenWord looks for the data_dir of a proxy in dir.
func OpenWord(dir string) (Word, error) {
	if _, err := os.Stat(filepath.Join(dir, "replproxy.meta")); err != nil {
		return Word{}, fmt.Errorf("%s is not the data_dir of a replproxy: %w", dir, err)
	}
	return Word{acceptance{dir: dir, log: slog.New(slog.DiscardHandler)}}, nil
}

// Loses reports whether what waits to be accepted is WAL that the primary of timeline t has lost itself: a proxy that
// has it must be restarted then.
func (w Word) Loses(t lsn.TimelineID) bool { return w.a.read(lackingName).isLoss(t) }

// Say accepts what the server on timeline t lacks, with force also what it will be found to lack. running is the status
// of the proxy, zero: it does not run.
func (w Word) Say(t lsn.TimelineID, force bool, running *admin.Status) error {
	return w.a.say(t, force, needless(running))
}

// Revoke takes the word back, if it is not used yet.
func (w Word) Revoke(t lsn.TimelineID) error { return w.a.revoke(t) }

// needless says why no WAL is to be given up while a proxy streams from a server itself; nil: it does not. The word
// would be obeyed as soon as that server is away for a moment (ruling R48). A stream from a member says nothing of the
// primary, which may be refused meanwhile.
func needless(s *admin.Status) error {
	u := &s.Upstream
	if u.State != admin.Streaming || u.Member != "" || u.Stopped != "" {
		return nil
	}
	return fmt.Errorf("the proxy streams from %s, on timeline %s: nothing is to be given up, and the server that "+
		"lacks WAL would be followed as soon as this one is away for a moment; stop the one that is not to be "+
		"the primary (--force accepts it all the same)", u.Endpoint, s.Store.Timeline)
}

// say writes the word for the lack that waits. A word that needless speaks against is about whatever is to come.
func (a acceptance) say(t lsn.TimelineID, force bool, needless error) error {
	w := a.read(lackingName)
	if needless != nil && !force {
		return needless
	}
	if w.kind != saidWord || w.timeline != t || needless != nil {
		if !force {
			return errors.New("the proxy refuses no server on that timeline now: nothing is there to be given up " +
				"(--force accepts what is to come)")
		}
		id, _, err := walstore.ReadIdentity(a.dir)
		if err != nil {
			return err
		}
		w = word{kind: forcedWord, system: id.System, timeline: t}
	}
	return durable.WriteFile(readable{}, filepath.Join(a.dir, acceptName), []byte(w.String()+"\n"))
}

// revoke takes an unused word back.
func (a acceptance) revoke(t lsn.TimelineID) error {
	if w := a.read(acceptName); w.timeline != t || !w.open() {
		return errors.New("there is no such word, or it is used")
	}
	return os.Remove(filepath.Join(a.dir, acceptName))
}

// readable is a file system whose new files everybody may read, since the proxy may be another user than root, who is
// asking here. The mode is set by the handle that was made, before the file has its name: whoever may rename files in
// the directory cannot have that of another file changed.
type readable struct{ durable.OS }

// Create makes a new file in place of what is there.
func (r readable) Create(name string) (*os.File, error) {
	f, err := r.OS.Create(name)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(0o644); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
