package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/replproxy/replproxy/cmd/replproxy/ask"
	"github.com/replproxy/replproxy/cmd/replproxy/show"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

const (
	// watchInterval spaces the questions of --watch.
	watchInterval = time.Second
	// clearScreen moves the cursor home and erases what is there.
	clearScreen = "\x1b[H\x1b[2J"
)

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:        "status",
		SuggestFor: []string{"ps", "list", "top", "show", "watch"},
		Short:      "Print what a running proxy says about upstream, store, standbys and slots",
		Args:       cobra.NoArgs,
	}
	file := cmd.Flags().StringP("config", "c", "", "configuration file of the proxy: its http and http_token_file hold")
	via := httpFlags(cmd, config.DefaultHTTP, "the http address of the proxy")
	asJSON := cmd.Flags().Bool("json", false, "print the document as it is")
	watch := cmd.Flags().Bool("watch", false, "print again each second until interrupted")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := fromFile(cmd, via, *file); err != nil {
			return err
		}
		if _, err := via.Base(); err != nil {
			return usageError{err}
		}
		out := cmd.OutOrStdout()
		if !*watch {
			return printStatus(cmd.Context(), out, via, *asJSON)
		}
		ctx, stop := interruptible(cmd.Context())
		defer stop()
		return watchStatus(ctx, out, via, *asJSON)
	}
	return cmd
}

func watchStatus(ctx context.Context, out io.Writer, via *ask.HTTP, asJSON bool) error {
	redraw := isTerminal(out) && !asJSON
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		if redraw {
			fmt.Fprint(out, clearScreen)
		}
		err := printStatus(ctx, out, via, asJSON)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !redraw:
			return err
		case err != nil:
			fmt.Fprintln(out, err) // the proxy may come back while we watch
		}
		if !redraw && !asJSON {
			fmt.Fprintln(out)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func printStatus(ctx context.Context, out io.Writer, via *ask.HTTP, asJSON bool) error {
	base, err := via.Base()
	if err != nil {
		return usageError{err}
	}
	body, err := via.Fetch(ctx, "/status")
	if err != nil {
		return fmt.Errorf("no proxy answers at %s: %w; is it running, and is -c its file, or --http the "+
			"address of its http key?", base, err)
	}
	if asJSON {
		_, err = out.Write(body)
		return err
	}
	var s admin.Status
	if err := json.Unmarshal(body, &s); err != nil {
		return fmt.Errorf("read status of %s: %w; is it a replproxy?", base, err)
	}
	show.Status(out, &s)
	return nil
}

// isTerminal reports whether w is a terminal. /dev/null is none.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}
