package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommand writes a page for each command, from what --help says: the program is all that an operator copies.
func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write manual pages of all commands into a directory, as replproxy-run.1",
		Long: "Writes manual pages of all commands into a directory, which it makes where there is none, as in\n" +
			"    replproxy man /usr/local/share/man/man1",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("write manual pages: %w", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true // the time of making would differ at each run
			header := &doc.GenManHeader{Section: "1", Source: "replproxy " + readBuild().version, Manual: "replproxy"}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return fmt.Errorf("write manual pages: %w", err)
			}
			return nil
		},
	}
}
