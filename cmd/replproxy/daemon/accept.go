package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/replproxy/replproxy/fanout/acceptance"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/durable"
	"github.com/replproxy/replproxy/proxy/admin"
)

// Word gives up WAL, or takes that back, on behalf of an operator. It writes to the data_dir of a proxy, whether that
// runs or not.
type Word struct{ a wordFiles }

// OpenWord returns the Word of the proxy whose data_dir is dir. It writes nothing, and fails where dir is none.
func OpenWord(dir string) (Word, error) {
	if _, err := os.Stat(filepath.Join(dir, "replproxy.meta")); err != nil {
		return Word{}, fmt.Errorf("%s is not the data_dir of a replproxy: %w", dir, err)
	}
	return Word{wordFiles{dir: dir, log: slog.New(slog.DiscardHandler)}}, nil
}

// Say accepts that the server on timeline t lacks WAL, with force also WAL that it will be found to lack. running is
// the status of the proxy, zero: it does not run. fenced are the proxies that are fenced on timeline t, as far as is
// known. did tells the operator what follows. A proxy that has WAL which the primary of timeline t has lost itself must
// be restarted.
func (w Word) Say(t lsn.TimelineID, force bool, running *admin.Status, fenced []string) (did string, err error) {
	isLoss := func(w acceptance.Word) bool { return w.IsLoss(t) }
	lost := slices.ContainsFunc(w.a.lacking(), isLoss) // as it was before the word
	u := &running.Upstream
	needless := acceptance.Fenced(fenced, t)
	if needless == nil {
		needless = acceptance.Needless(u.State == admin.Streaming && u.Stopped == "", u.Member != "", u.Endpoint,
			running.Store.Timeline)
	}
	was := w.a.word()
	if err := w.a.say(t, force, needless); err != nil {
		return "", err
	}
	rest := tooAt(running)
	if was.Open() && was.Timeline != t {
		rest += fmt.Sprintf("; the word about timeline %s is taken back, as a proxy has one at a time", was.Timeline)
	}
	if lost {
		return fmt.Sprintf("timeline %d is accepted, and the word is used within half a minute: until then --revoke "+
			"takes it back. A proxy whose own store has none of that WAL follows then; any other must be restarted, "+
			"it then sets its WAL aside%s", t, rest), nil
	}
	return fmt.Sprintf("timeline %d is accepted: a proxy that runs follows within half a minute; until then status "+
		"shows the word, and --revoke takes it back%s", t, rest), nil
}

// tooAt names the other members of the cluster, to which the word is to be said as well; "": there are none, or the
// proxy does not run.
func tooAt(running *admin.Status) string {
	if running.Cluster == nil {
		return ""
	}
	var names []string
	for _, p := range running.Cluster.Peers {
		if !slices.Contains(running.Quorum.Forgotten, p.Name) {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "; say it at each other proxy too: " + strings.Join(names, ", ")
}

// Revoke takes back the word about timeline t. did tells the operator so. It is an error where no such word is, or
// where it was used.
func (w Word) Revoke(t lsn.TimelineID) (did string, err error) {
	if err := w.a.revoke(t); err != nil {
		return "", err
	}
	return fmt.Sprintf("timeline %d is not accepted any more", t), nil
}

// say writes the word for the lack that waits, durably; for force and needless see [acceptance.Say].
func (a wordFiles) say(t lsn.TimelineID, force bool, needless error) error {
	if w := a.word(); w.Aside {
		return fmt.Errorf("timeline %d was accepted, and the store has WAL that is given up: restart the proxy first, "+
			"it then sets its WAL aside", w.Timeline)
	}
	w, err := acceptance.Say(a.lacking(), t, force, needless, func() (lsn.SystemID, error) {
		id, _, err := walstore.ReadIdentity(a.dir)
		return id.System, err
	})
	if err != nil {
		return err
	}
	return durable.WriteFile(readable{}, filepath.Join(a.dir, acceptName), []byte(w.String()+"\n"))
}

// revoke takes an unused word back; any other is an error, as none is.
func (a wordFiles) revoke(t lsn.TimelineID) error {
	if err := a.word().Revocable(t); err != nil {
		return err
	}
	return os.Remove(filepath.Join(a.dir, acceptName))
}

// readable is a file system whose new files everybody may read, since the proxy may be another user than root, who is
// asking here. The mode is set by the handle that was made, before the file has its name: whoever may rename files in
// the directory cannot have that of another file changed.
type readable struct{ durable.OS }

// Create makes a new, empty file, in place of one that is there. Its mode is 0644, whatever the umask is.
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
