package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/replproxy/replproxy/cmd/replproxy/daemon"
)

func identityCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "identity",
		Short: "Print this proxy's line for cluster.members, and make its key when it has none",
		Args:  cobra.NoArgs,
	}
	file := configFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := loadConfig(cmd, *file, "cluster.members", "cluster.key_file", "upstream.conninfo")
		if err != nil {
			return err
		}
		line, err := daemon.Identity(c)
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), line)
		return nil
	}
	return cmd
}
