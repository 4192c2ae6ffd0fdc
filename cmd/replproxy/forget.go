package main

import (
	"fmt"
	"net/url"

	"github.com/spf13/cobra"
)

const forgetLong = `Tell a running proxy that another member of its cluster is gone and will not come back as it was.

It is then not waited for: a proxy that was started alone reports again, FIRST does not wait for standbys of
higher priority there, the rule that it had last does not count, and a stricter rule needs no word of it.
The proxy remembers that, and status shows it. When the member is heard again it counts again, with its rule and
its standbys. The word is about the member with its present key: a new one of that name is waited for. --revoke
takes it back.

What it risks: a member that is only cut off may have standbys of higher priority, or a stricter rule that
this proxy has not heard of. Commits are then acknowledged here on less than that. So stop the member, or
make sure that its machine is gone, and see that this proxy has the rule that the cluster has, before you
say so. A member that was heard within the last seconds is refused.`

func forgetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "forget NODE",
		Short: "Tell a running proxy that a member of its cluster is gone: it is not waited for any more",
		Long:  forgetLong,
		Args:  cobra.ExactArgs(1),
	}
	ask := controlFlags(cmd)
	revoke := cmd.Flags().Bool("revoke", false, "take the word back: the member is waited for again")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		path := "/forget?node=" + url.QueryEscape(args[0])
		if *revoke {
			if _, err := ask(path + "&revoke=yes"); err != nil {
				return fmt.Errorf("NOT TAKEN BACK %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is waited for again\n", args[0])
			return nil
		}
		if _, err := ask(path); err != nil {
			return fmt.Errorf("NOT FORGOTTEN %w", err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s is not waited for any more, until it is heard again; if it still runs "+
			"somewhere, its rule and its standbys are not respected here: stop it\n", args[0])
		return nil
	}
	return cmd
}
