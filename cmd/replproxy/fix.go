package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/replproxy/replproxy/cmd/replproxy/preflight"
)

// printFixes prints statements as a script for psql, with who wants each.
func printFixes(w io.Writer, fixes []preflight.Fix) {
	if len(fixes) == 0 {
		fmt.Fprintln(w, "-- no statement mends what check finds: see its remedies")
	}
	where, restart := "", map[string]bool{}
	for _, x := range fixes {
		if x.Where != where {
			where = x.Where
			fmt.Fprintf(w, "-- on %s, as a role that may change settings and roles\n", where)
		}
		note := ""
		if x.Restart {
			note, restart[where] = "; needs a restart", true
		}
		fmt.Fprintf(w, "%s; -- %s%s\n", x.SQL, x.Check, note)
		if restart[where] && strings.HasPrefix(x.SQL, "SELECT pg_reload_conf") {
			fmt.Fprintf(w, "-- then restart %s\n", where)
		}
	}
}

// applyFixes asks, and runs the statements that are for the primary. It blocks until there is an answer: anything but y
// or yes is no.
func applyFixes(cmd *cobra.Command, conninfo string, fixes []preflight.Fix) error {
	out := cmd.OutOrStdout()
	fmt.Fprint(out, "Run those for the primary there? [y/N] ")
	answer, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		fmt.Fprintln(out, "nothing was run")
		return silentError{exitFailure}
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), checkTimeout)
	defer cancel()
	return preflight.Apply(ctx, conninfo, fixes, func(x preflight.Fix) { fmt.Fprintln(out, "done:", x.SQL) })
}
