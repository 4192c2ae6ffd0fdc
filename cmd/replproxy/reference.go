package main

import (
	_ "embed" // the reference

	"github.com/spf13/cobra"
)

//go:embed etc/replproxy.yml
var reference []byte

// referenceCommand prints the file, since the program is all that an operator copies.
func referenceCommand() *cobra.Command {
	return &cobra.Command{
		Use:        "reference",
		SuggestFor: []string{"config", "settings", "defaults"},
		Short:      "Print the commented reference configuration: every key with its default and the reason",
		Args:       cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(reference)
			return err
		},
	}
}
