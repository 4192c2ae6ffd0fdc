package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/replproxy/replproxy/cmd/replproxy/ask"
)

func fenceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fence",
		Short: "Make a running proxy never again vote or report for a timeline: before a promotion",
		Args:  cobra.NoArgs,
	}
	post := controlFlags(cmd)
	timeline := cmd.Flags().String("timeline", "", "the highest timeline to fence: the old primary's")
	force := cmd.Flags().Bool("force", false, "fence a timeline above all that are known, too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		path, err := ask.FencePath(*timeline, *force)
		if err != nil {
			return usageError{err}
		}
		body, err := post(path)
		if err != nil {
			return fmt.Errorf("NOT FENCED %w", err)
		}
		e, err := ask.Ending(body)
		if err != nil {
			return err
		}
		text, err := e.Final()
		if err == nil {
			fmt.Fprintln(cmd.OutOrStdout(), text)
		}
		return err
	}
	return cmd
}
