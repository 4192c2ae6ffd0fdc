package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

const madeAnewLong = `Tell a running proxy that standbys were made anew, from a base backup, since WAL was given up
(accept-timeline).

A standby that may still have that WAL, by what it reported, gets nothing from the proxy and does not count. That
it was made anew is seen when what it reports first lies beyond the lost WAL, or before it. Where the primary had
not written that far yet the proxy can't tell, and this command says it, for every standby of that
application_name. The other members of the cluster are told.

It is refused while another member may not have heard which WAL was given up, or may still have that WAL: a standby
that is known as made anew, and goes there, is not asked any more. --force says it all the same.

What it risks: a standby that was not made anew goes on with a mixture of two histories, and its votes release commits
that no server has. With --force that goes for a standby which was made anew, too, if it has been at such a member.`

func madeAnewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "made-anew NAME...",
		Short: "Tell a running proxy that standbys were made anew since WAL was given up: they count again",
		Long:  madeAnewLong,
		Args:  cobra.MinimumNArgs(1),
	}
	ask := controlFlags(cmd)
	force := cmd.Flags().Bool("force", false, "say it although a member may still have that WAL")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		said := url.Values{"name": names}
		if *force {
			said.Set("force", "yes")
		}
		if _, err := ask("/made-anew?" + said.Encode()); err != nil {
			return fmt.Errorf("NOT NOTED %w", err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "noted as made anew: %s\n", strings.Join(names, ", "))
		return nil
	}
	return cmd
}
