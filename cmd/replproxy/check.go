package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/replproxy/replproxy/cmd/replproxy/ask"
	"github.com/replproxy/replproxy/cmd/replproxy/daemon"
	"github.com/replproxy/replproxy/cmd/replproxy/preflight"
	"github.com/replproxy/replproxy/cmd/replproxy/show"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

// checkTimeout bounds the whole preflight: several hosts that drop packets cost connect_timeout each.
const checkTimeout = 2 * time.Minute

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:        "check",
		SuggestFor: []string{"test", "doctor", "preflight"},
		Short:      "Look at the upstream before standing in front of it: ok, warn or fail, with the remedy",
		Args:       cobra.NoArgs,
	}
	file := configFlags(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print one JSON document")
	standbys := cmd.Flags().StringArray("standby", nil,
		"conninfo of a standby that is, or shall be, behind this proxy: look at it too; repeatable")
	fix := cmd.Flags().Bool("fix", false, "print the statements that mend what is wrong, in their order")
	apply := cmd.Flags().Bool("apply", false, "with --fix: run those for the primary, after asking")
	as := cmd.Flags().String("as", "", "conninfo for --apply: a role that may change settings (default --upstream)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if (*apply || *as != "") && !*fix || *apply && *asJSON {
			return usageError{errors.New("--apply and --as go with --fix, and --apply not with --json: it asks")}
		}
		c, err := loadConfig(cmd, *file)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), checkTimeout)
		defer cancel()
		found, err := daemon.Check(ctx, c, *file, *standbys)
		if err != nil {
			return err
		}
		checks := runningCheck(ctx, c, found.Facts, found.Checks)
		switch out := cmd.OutOrStdout(); {
		case *asJSON:
			err = show.JSON(out, map[string]any{
				"passed": preflight.Passed(checks), "counts": preflight.Count(checks), "checks": checks,
				"fixes": found.Fixes,
			})
		case *fix:
			printFixes(out, found.Fixes)
		default:
			printChecks(out, checks)
		}
		if err == nil && *apply && len(found.Fixes) > 0 {
			cancel() // a person may take long to answer
			return applyFixes(cmd, cmp.Or(*as, c.Upstream.Conninfo), found.Fixes)
		}
		if err == nil && !preflight.Passed(checks) {
			err = silentError{exitFailure}
		}
		return err
	}
	return cmd
}

// runningTimeout bounds the question to the proxy that runs: it answers from memory.
const runningTimeout = 5 * time.Second

// runningCheck asks the proxy that runs in data_dir whether WAL comes, commits wait and members are heard. It appends
// that to checks. Where none runs, or an older one, which cannot be asked so, it says what is not looked at.
func runningCheck(
	ctx context.Context, c *config.Config, primary preflight.Facts, checks []preflight.Check,
) []preflight.Check {
	s, ok := askRunning(ctx, c.DataDir)
	if !ok {
		return append(checks, preflight.NotRunning(daemon.OtherMembers(c))...)
	}
	preflight.Heed(checks, &s)
	return append(checks, preflight.Running(&s, primary)...)
}

// askRunning gives the status of the proxy that runs in dir; false: none does, or it cannot be asked.
func askRunning(ctx context.Context, dir string) (s admin.Status, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, runningTimeout)
	defer cancel()
	body, err := ask.Control(ctx, filepath.Join(dir, daemon.ControlSocket), http.MethodGet, "/status")
	return s, err == nil && json.Unmarshal(body, &s) == nil
}

func printChecks(w io.Writer, checks []preflight.Check) {
	for _, c := range checks {
		fmt.Fprintf(w, "%-4s  %-26s %s\n", c.Level, c.Name, c.Text)
		if c.Remedy != "" {
			fmt.Fprintf(w, "%6s%26s → %s\n", "", "", c.Remedy)
		}
	}
	fmt.Fprintln(w, preflight.Summary(checks))
}
