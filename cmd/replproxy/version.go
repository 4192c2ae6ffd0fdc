package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// unreleased is the version of a build that is no tagged module version.
const unreleased = "devel"

// supportedMajors are the PostgreSQL versions that the tests run against.
const supportedMajors = "14, 15, 16, 17, 18"

// stampVersion and stampCommit are set by the linker (scripts/stamp); they win over what the Go tool recorded,
// which has neither where the version control stamp is off.
var stampVersion, stampCommit string

// build names this binary: its version and the commit that it was made from, "" where that is not known.
type build struct{ version, commit string }

func readBuild() build {
	if stampVersion != "" {
		return build{stampVersion, stampCommit}
	}
	b := build{version: unreleased}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.version = v
	}
	dirty := ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.commit = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "+modified"
			}
		}
	}
	if b.commit != "" {
		b.commit += dirty
	}
	return b
}

// versionText returns the lines of "version" and --version.
func versionText() string {
	b := readBuild()
	const lines = "replproxy %s\ncommit     %s\ngo         %s %s/%s\nPostgreSQL %s\n"
	return fmt.Sprintf(lines, b.version, cmp.Or(b.commit, "unknown"), runtime.Version(), runtime.GOOS, runtime.GOARCH,
		supportedMajors)
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print version, commit, Go and the supported PostgreSQL versions",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), versionText())
			return err
		},
	}
}
