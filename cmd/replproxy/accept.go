package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/durable"
	"github.com/replproxy/replproxy/proxy/config"
)

func acceptTimelineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "accept-timeline N",
		Short: "Give up WAL that the server on timeline N lacks: the proxy follows it although commits are lost",
		Long: "Gives up WAL that is known to this proxy, and that the server on timeline N lacks: a promoted\n" +
			"one, or a primary that has come back with less. The proxy follows it, although commits may be lost\n" +
			"that clients were told are safe. The word holds for the loss that is shown now, and is used once.\n" +
			"Where the proxy's own store has WAL that a primary has lost, it has to be restarted.",
		Args: cobra.ExactArgs(1),
	}
	file := cmd.Flags().StringP("config", "c", "", "configuration file of the proxy")
	data := cmd.Flags().String("data-dir", "", "data_dir of the proxy (default "+config.DefaultDataDir+")")
	force := cmd.Flags().Bool("force", false, "accept timeline N although the proxy refuses no server there now")
	revoke := cmd.Flags().Bool("revoke", false, "take the word back, if it is not used yet")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := strconv.ParseUint(args[0], 10, 32)
		if err != nil || n < 1 {
			return usageError{fmt.Errorf("%q is no timeline that can be accepted: "+
				"the log and /status name the one that waits", args[0])}
		}
		dir, err := dataDirOf(cmd, *file, *data)
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(dir, "replproxy.meta")); err != nil {
			return fmt.Errorf("%s is not the data_dir of a replproxy: %w", dir, err)
		}
		a := acceptance{dir: dir, log: slog.New(slog.DiscardHandler)}
		did := "timeline %d is accepted: a proxy that runs follows within half a minute; until then status shows the " +
			"word, and --revoke takes it back\n"
		if a.read(lackingName).isLoss(lsn.TimelineID(n)) {
			did = "timeline %d is accepted: a proxy whose own store has none of that WAL follows within half a " +
				"minute; any other must be restarted, it then sets its WAL aside\n"
		}
		if *revoke {
			did = "timeline %d is not accepted any more\n"
			err = a.revoke(lsn.TimelineID(n))
		} else {
			err = a.say(lsn.TimelineID(n), *force)
		}
		if err != nil {
			return fmt.Errorf("accept timeline %d: %w", n, err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), did, n)
		return nil
	}
	return cmd
}

// say writes the word for the lack that waits.
func (a acceptance) say(t lsn.TimelineID, force bool) error {
	w := a.read(lackingName)
	if w.kind != saidWord || w.timeline != t {
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
