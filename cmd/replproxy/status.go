package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/replproxy/replproxy/cmd/replproxy/show"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

const (
	// statusTimeout bounds one question to a proxy on this machine or near it.
	statusTimeout = 5 * time.Second
	// maxStatus bounds the answer: a thousand standbys take about 600 kB.
	maxStatus = 16 << 20
	// watchInterval is how often --watch asks.
	watchInterval = time.Second
	// clearScreen moves the cursor home and erases what is there.
	clearScreen = "\x1b[H\x1b[2J"
)

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Print what a running proxy says about upstream, store, standbys and slots",
		Args:  cobra.NoArgs,
	}
	file := cmd.Flags().StringP("config", "c", "", "configuration file of the proxy: its http and http_token_file hold")
	via := httpFlags(cmd, config.DefaultHTTP, "the http address of the proxy")
	asJSON := cmd.Flags().Bool("json", false, "print the document as it is")
	watch := cmd.Flags().Bool("watch", false, "print again each second until interrupted")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := via.fromFile(cmd, *file); err != nil {
			return err
		}
		if _, err := via.base(); err != nil {
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

func watchStatus(ctx context.Context, out io.Writer, via *httpAccess, asJSON bool) error {
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

func printStatus(ctx context.Context, out io.Writer, via *httpAccess, asJSON bool) error {
	base, err := via.base()
	if err != nil {
		return usageError{err}
	}
	body, err := via.fetch(ctx, "/status")
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

// fetch asks for a path.
func (a *httpAccess) fetch(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	base, err := a.base()
	if err != nil {
		return nil, err
	}
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	req, err := a.request(ctx, base+path)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, plain(err)
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		return io.ReadAll(io.LimitReader(res.Body, maxStatus))
	case http.StatusUnauthorized:
		return nil, errors.New("it wants the token of its http_token_file: name the file by --http-token-file")
	}
	return nil, fmt.Errorf("HTTP status %s", res.Status)
}

// plain drops the URL that net/http puts around its errors: the caller names it.
func plain(err error) error {
	var wrapped interface{ Unwrap() error }
	if errors.As(err, &wrapped) && wrapped.Unwrap() != nil {
		return wrapped.Unwrap()
	}
	return err
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
