package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// maxTypo bounds the letters that may differ for a command or a flag to be suggested.
const maxTypo = 2

// meantCommand returns a question with the commands of c that the first of args looks like; "" without one.
func meantCommand(c *cobra.Command, args []string) string {
	if !c.HasSubCommands() || len(args) == 0 {
		return ""
	}
	return meant("", c.SuggestionsFor(args[0]))
}

// meantFlag returns a question with the flags of c that the unknown one of err looks like; "" without one. The library
// suggests commands only, so the flags stand as commands of one that is made for it.
func meantFlag(c *cobra.Command, err error) string {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || len(unknown.GetSpecifiedName()) < maxTypo {
		return ""
	}
	flags := &cobra.Command{SuggestionsMinimumDistance: maxTypo}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		flags.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	return meant("--", flags.SuggestionsFor(unknown.GetSpecifiedName()))
}

func meant(dashes string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("; did you mean %s%s?", dashes, strings.Join(names, " or "+dashes))
}
