package main

import (
	"github.com/spf13/cobra"

	"github.com/replproxy/replproxy/cmd/replproxy/daemon"
	"github.com/replproxy/replproxy/proxy/config"
)

func runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:        "run",
		SuggestFor: []string{"start", "serve", "daemon"},
		Short:      "Stand in front of a primary until SIGTERM (orderly) or a second one (at once)",
		Args:       cobra.NoArgs,
	}
	file := configFlags(cmd)
	var o daemon.Options
	cmd.Flags().BoolVar(&o.Profiles, "pprof", false, "serve Go's profiles at /debug/pprof of the http address")
	cmd.Flags().BoolVar(&o.NewStore, "new-store", false, "begin a new store in an empty data_dir although the "+
		"primary has this proxy's slot: for one start, by hand")
	cmd.Flags().BoolVar(&o.AllowRoot, "allow-root", false, "run as root all the same, as in a container")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b := readBuild()
		o.File, o.Log, o.Version, o.Commit = *file, cmd.ErrOrStderr(), b.version, b.commit
		o.Load = func() (*config.Config, error) { return loadConfig(cmd, *file) }
		d, err := daemon.New(o)
		if err != nil {
			return err
		}
		soft, hard, stop := twoStage(cmd.Context())
		defer stop()
		hangups, release := daemonSignals()
		defer release()
		return d.Run(soft, hard.Done(), hangups)
	}
	return cmd
}
