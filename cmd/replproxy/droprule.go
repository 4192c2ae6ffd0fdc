package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

const dropRuleLong = `Take the rule of a running proxy away for good, although it is a member of a cluster.

First change the primary's synchronous_standby_names, or its commits are from then on durable in this proxy's
store only. Then empty synchronous_standby_names in the configuration of every proxy, and run this for each
of them, in any order. Until the last one has dropped its rule, what is reported still satisfies the rules of
those that are heard. The configuration is read again as by SIGHUP, other changes included. It is refused while the
primary still waits for a proxy of the cluster.`

func dropRuleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drop-rule",
		Short: "Take a running proxy's rule away although it is in a cluster, after emptying it in the configuration",
		Long:  dropRuleLong,
		Args:  cobra.NoArgs,
	}
	ask := controlFlags(cmd)
	force := cmd.Flags().Bool("force", false, "drop the rule although the primary still waits for a proxy")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		path := "/drop-rule"
		if *force {
			path += "?force=yes"
		}
		if _, err := ask(path); err != nil {
			return fmt.Errorf("NOT DROPPED %w", err)
		}
		fmt.Fprintln(cmd.OutOrStdout(), "this proxy has no rule any more; those of members that are heard hold")
		return nil
	}
	return cmd
}
