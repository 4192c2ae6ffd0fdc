package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/replproxy/replproxy/fanout/walstore/vfs"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/datadir"
	"github.com/replproxy/replproxy/internal/durable"
	"github.com/replproxy/replproxy/proxy/config"
)

// acceptName is the file in data_dir that names the timeline which the operator accepts although it lacks
// WAL that is known (rulings R3, R32). Whoever may write there may move the store away as well. It is one line:
//
//	N                   the operator's word, which is not used yet
//	N FROM TO           it was used: WAL of timeline N beyond FROM, up to TO, is given up
//	N FROM TO aside     and the next start sets the store's WAL aside first
const acceptName = "accept-timeline"

// asideWord ends a line that is about the store's own WAL.
const asideWord = "aside"

func acceptTimelineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "accept-timeline N",
		Short: "Give up WAL that the server on timeline N lacks: the proxy follows it although commits are lost",
		Long: "Gives up WAL that is known to this proxy, and that the server on timeline N lacks: a promoted\n" +
			"one, or a primary that has come back with less. The proxy follows it, although commits may be lost\n" +
			"that clients were told are safe. The word is used once. Where the proxy's own store has WAL that a\n" +
			"primary has lost, it has to be restarted.",
		Args: cobra.ExactArgs(1),
	}
	dir := cmd.Flags().String("data-dir", config.DefaultDataDir, "directory of the proxy's store")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := strconv.ParseUint(args[0], 10, 32)
		if err != nil || n < 1 {
			return usageError{fmt.Errorf("%q is no timeline that can be accepted: "+
				"the log and /status name the one that waits", args[0])}
		}
		if _, err := os.Stat(filepath.Join(*dir, "replproxy.meta")); err != nil {
			return fmt.Errorf("%s is not the data_dir of a replproxy: %w", *dir, err)
		}
		path := filepath.Join(*dir, acceptName)
		if err := durable.WriteFile(readable{}, path, []byte(args[0]+"\n")); err != nil {
			return fmt.Errorf("accept timeline %s: %w", args[0], err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "timeline %s will be followed, within half a minute by a proxy that runs\n",
			args[0])
		return nil
	}
	return cmd
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

// word is a line of the file.
type word struct {
	timeline lsn.TimelineID // 0: there is none
	used     bool
	from, to lsn.LSN
	aside    bool
}

func parseWord(text string) (w word, err error) {
	f := strings.Fields(text)
	if len(f) != 1 && len(f) != 3 && !(len(f) == 4 && f[3] == asideWord) {
		return word{}, fmt.Errorf("%q is no accepted timeline", strings.TrimSpace(text))
	}
	t, err := strconv.ParseUint(f[0], 10, 32)
	if err == nil && len(f) > 1 {
		w.used, w.aside = true, len(f) == 4
		var err1, err2 error
		w.from, err1 = lsn.Parse(f[1])
		w.to, err2 = lsn.Parse(f[2])
		err = errors.Join(err1, err2)
	}
	if err != nil {
		return word{}, fmt.Errorf("%q is no accepted timeline: %w", strings.TrimSpace(text), err)
	}
	w.timeline = lsn.TimelineID(t)
	return w, nil
}

func (w word) String() string {
	text := w.timeline.String()
	if w.used {
		text += fmt.Sprintf(" %s %s", w.from, w.to)
	}
	if w.aside {
		text += " " + asideWord
	}
	return text
}

// acceptance is the operator's word as the walreceiver asks for it; see [walreceiver.Acceptance].
type acceptance struct {
	dir string
	log *slog.Logger
}

func (a acceptance) read() word {
	text, err := os.ReadFile(filepath.Join(a.dir, acceptName))
	if errors.Is(err, fs.ErrNotExist) {
		return word{}
	}
	var w word
	if err == nil {
		w, err = parseWord(string(text))
	}
	if err != nil {
		a.log.Error("cannot read which timeline is accepted", "err", err)
	}
	return w
}

func (a acceptance) write(w word) error {
	if err := vfs.WriteFile(vfs.OS{}, filepath.Join(a.dir, acceptName), []byte(w.String()+"\n")); err != nil {
		return fmt.Errorf("note which WAL is given up: %w", err)
	}
	return nil
}

func (a acceptance) Accepted(t lsn.TimelineID) bool {
	w := a.read()
	return t != 0 && w.timeline == t && !w.used
}

func (a acceptance) Use(t lsn.TimelineID, from, to lsn.LSN, aside bool) error {
	uid := -1
	if info, err := os.Stat(filepath.Join(a.dir, acceptName)); err == nil {
		uid = datadir.Owner(info)
	}
	a.log.Warn("an operator's command", "command", "accept-timeline", "arguments", t.String(), "uid", uid)
	return a.write(word{timeline: t, used: true, from: from, to: to, aside: aside})
}

func (a acceptance) GivenUp(t lsn.TimelineID) (from, to lsn.LSN) {
	if w := a.read(); w.used && w.timeline == t {
		return w.from, w.to
	}
	return 0, 0
}

// setAside is the name under which this start has to set the store's WAL aside; "": it has not. done is to be called
// when that is so.
func (a acceptance) setAside() (name string, done func() error) {
	w := a.read()
	if !w.aside {
		return "", func() error { return nil }
	}
	name = fmt.Sprintf("%s-%X-%X-lost", w.timeline, uint32(w.from>>32), uint32(w.from))
	w.aside = false
	return name, func() error { return a.write(w) }
}
