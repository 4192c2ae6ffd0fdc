package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/replproxy/replproxy/cmd/replproxy/daemon"
	"github.com/replproxy/replproxy/proxy/config"
)

func rootCommand(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "replproxy",
		Short: "One WAL stream from a PostgreSQL primary, any number of standbys behind it",
		Long: "replproxy stands in front of a PostgreSQL primary (14 to 18). Applications and standbys change\n" +
			"only host and port; the primary sees one walsender, whatever the number of standbys.\n\n" +
			"Try it:   replproxy demo\n" +
			"Use it:   replproxy run --upstream \"host=db1 user=replproxy\" --data-dir ./replproxy-data",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w%s (%s --help lists the flags)", err, meantFlag(cmd, err), cmd.CommandPath())}
	})
	root.Version = readBuild().version
	root.SetVersionTemplate(versionText())
	root.AddCommand(runCommand(), checkCommand(), statusCommand(), demoCommand(), fenceCommand(), tailCommand(),
		forgetCommand(), dropRuleCommand(), madeAnewCommand(), identityCommand(), versionCommand(),
		walFetchCommand(), acceptTimelineCommand(), referenceCommand(), manCommand())
	root.InitDefaultCompletionCmd()
	strictArgs(root)
	return root
}

// strictArgs turns a wrong number of arguments and an unknown command into exit 2, also below a command that only has
// others below it.
func strictArgs(cmd *cobra.Command) {
	if !cmd.Runnable() {
		cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	}
	check := cmd.Args
	cmd.Args = func(c *cobra.Command, args []string) error {
		if check == nil {
			return nil
		}
		if err := check(c, args); err != nil {
			return usageError{fmt.Errorf("%w%s (%s --help tells more)", err, meantCommand(c, args), c.CommandPath())}
		}
		return nil
	}
	cmd.SuggestionsMinimumDistance = maxTypo
	for _, sub := range cmd.Commands() {
		strictArgs(sub)
	}
}

// configFlags adds -c and the flags of the configuration to a command.
func configFlags(cmd *cobra.Command) (file *string) {
	file = cmd.Flags().StringP("config", "c", "", "configuration file; none is needed")
	for _, f := range config.Flags() {
		if f.List {
			cmd.Flags().StringArray(f.Name, nil, f.Help+defaultNote(f.Default))
		} else {
			cmd.Flags().String(f.Name, "", f.Help+defaultNote(f.Default))
		}
	}
	return file
}

func defaultNote(d string) string {
	if d == "" {
		return ""
	}
	return " (default " + d + ")"
}

// loadConfig reads the file and the flags that were given; the keys notYet may still be missing. Every error is a
// usageError.
func loadConfig(cmd *cobra.Command, file string, notYet ...string) (*config.Config, error) {
	var overrides []config.Override
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if !isConfigFlag(f.Name) {
			return
		}
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		overrides = append(overrides, config.Override{Flag: f.Name, Values: values})
	})
	c, err := config.Load(file, overrides, notYet...)
	if err != nil {
		var many config.Errors
		if errors.As(err, &many) {
			return nil, usageError{fmt.Errorf("unusable configuration\n%w", many)}
		}
		return nil, usageError{err}
	}
	if err := daemon.CheckRule(c); err != nil {
		return nil, usageError{fmt.Errorf("unusable configuration\n%w", err)}
	}
	return c, nil
}

func isConfigFlag(name string) bool {
	for _, f := range config.Flags() {
		if f.Name == name {
			return true
		}
	}
	return false
}
