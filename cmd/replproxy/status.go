package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
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
	addr := cmd.Flags().String("http", config.DefaultHTTP, "the http address of the proxy")
	asJSON := cmd.Flags().Bool("json", false, "print the document as it is")
	watch := cmd.Flags().Bool("watch", false, "print again each second until interrupted")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		base, err := httpBase(*addr)
		if err != nil {
			return usageError{err}
		}
		out := cmd.OutOrStdout()
		if !*watch {
			return printStatus(cmd.Context(), out, base, *asJSON)
		}
		ctx, stop := interruptible(cmd.Context())
		defer stop()
		return watchStatus(ctx, out, base, *asJSON)
	}
	return cmd
}

// httpBase is the URL of an http address; an address of all interfaces is asked on loopback.
func httpBase(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("--http: %q is not host:port, as in %s", addr, config.DefaultHTTP)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

func watchStatus(ctx context.Context, out io.Writer, base string, asJSON bool) error {
	redraw := isTerminal(out) && !asJSON
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		if redraw {
			fmt.Fprint(out, clearScreen)
		}
		err := printStatus(ctx, out, base, asJSON)
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

func printStatus(ctx context.Context, out io.Writer, base string, asJSON bool) error {
	body, err := fetch(ctx, base+"/status")
	if err != nil {
		return fmt.Errorf("no proxy answers at %s: %w; is it running, and is --http the address of its http key?",
			base, err)
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

func fetch(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return nil, plain(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %s", res.Status)
	}
	return io.ReadAll(io.LimitReader(res.Body, maxStatus))
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
