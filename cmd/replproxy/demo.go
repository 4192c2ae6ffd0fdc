package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/replproxy/replproxy/cmd/replproxy/demo"
	"github.com/replproxy/replproxy/proxy/config"
)

// durationVariable lets "make demo DURATION=1min" say how long.
const durationVariable = "DURATION"

func demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Throwaway primary, proxy and standbys on this machine, under load; leaves nothing behind",
		Args:  cobra.NoArgs,
	}
	bindir := cmd.Flags().String("bindir", "",
		"directory of initdb, postgres, pg_basebackup and pgbench (default: looked for)")
	duration := cmd.Flags().String("duration", os.Getenv(durationVariable),
		"how long the load runs, as in 20s or 1min (default: until Ctrl-C on a terminal, else 20s)")
	standbys := cmd.Flags().Int("standbys", demo.DefaultStandbys, "number of standbys, 1 to 8")
	quorum := cmd.Flags().Bool("quorum", false,
		"three proxies with one quorum; voters are cut off for a while, and commits wait for them")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		out := cmd.OutOrStdout()
		terminal := isTerminal(out)
		var length time.Duration
		if !terminal {
			length = demo.DefaultDuration
		}
		if *duration != "" {
			d, err := config.ParseDuration(*duration, time.Second)
			if err != nil {
				d, err = time.ParseDuration(*duration) // 10m, as "make soak" takes it
			}
			if err != nil || d < time.Second {
				return usageError{fmt.Errorf("--duration: %q is not a time of at least 1s, as in 20s or 1min",
					*duration)}
			}
			length = d
		}
		if *standbys < 1 || *standbys > 8 {
			return usageError{fmt.Errorf("--standbys: %d is not a number from 1 to 8", *standbys)}
		}
		if *quorum && (*standbys < 2 || length > 0 && length < demo.MinQuorumDuration) {
			return usageError{fmt.Errorf("--quorum takes at least 2 standbys and %s", demo.MinQuorumDuration)}
		}
		soft, hard, stop := twoStage(cmd.Context())
		defer stop()
		err := demo.Run(hard, demo.Options{
			Bindir: *bindir, Duration: length, Standbys: *standbys, Quorum: *quorum,
			Redraw: terminal, Out: out, Stop: soft.Done(),
		})
		if errors.Is(err, demo.ErrStopped) {
			fmt.Fprintln(cmd.ErrOrStderr(), err)
			return silentError{exitFailure}
		}
		return err
	}
	return cmd
}
