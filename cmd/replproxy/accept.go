package main

import (
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/replproxy/replproxy/cmd/replproxy/ask"
	"github.com/replproxy/replproxy/cmd/replproxy/daemon"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/proxy/config"
)

func acceptTimelineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "accept-timeline N",
		Short: "Give up WAL that the server on timeline N lacks: the proxy follows it although commits are lost",
		Long: "Gives up WAL that is known to this proxy, and that the server on timeline N lacks: a promoted\n" +
			"one, or a primary that has come back with less. The proxy follows it, although commits may be lost\n" +
			"that clients were told are safe. The word holds for the loss that is shown now, and is used once.\n" +
			"While the proxy streams from a server itself it is refused: stop that server first, or the other one.\n" +
			"Where a proxy is fenced on timeline N it is refused as well: no commit there is confirmed any more.\n" +
			"Where the proxy's own store has WAL that a primary has lost, it has to be restarted.",
		Args: cobra.ExactArgs(1),
	}
	file := cmd.Flags().StringP("config", "c", "", "configuration file of the proxy")
	data := cmd.Flags().String("data-dir", "", "data_dir of the proxy (default "+config.DefaultDataDir+")")
	force := cmd.Flags().Bool("force", false,
		"accept timeline N although the proxy refuses no server there now, or streams from another one")
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
		word, err := daemon.OpenWord(dir)
		if err != nil {
			return err
		}
		var did string
		if *revoke {
			did, err = word.Revoke(lsn.TimelineID(n))
		} else {
			running, _ := askRunning(cmd.Context(), dir) // one that does not run streams nothing
			fenced := ask.FencedOn(cmd.Context(), filepath.Join(dir, daemon.ControlSocket), lsn.TimelineID(n))
			did, err = word.Say(lsn.TimelineID(n), *force, &running, fenced)
		}
		if err != nil {
			return fmt.Errorf("accept timeline %d: %w", n, err)
		}
		fmt.Fprintln(cmd.OutOrStdout(), did)
		return nil
	}
	return cmd
}
