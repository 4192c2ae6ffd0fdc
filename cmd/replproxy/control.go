package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/descriptors"
	"github.com/replproxy/replproxy/proxy/admin"
	"github.com/replproxy/replproxy/proxy/config"
)

const (
	// controlSocket takes commands that change something: whoever may write to data_dir may use it.
	controlSocket = "control.sock"
	// maxSocketPath is what fits into a sockaddr_un.
	maxSocketPath = 107
	// unreached asks what the reason may be when nobody answers on the control socket.
	unreached = "is it running, are you its user or root, and is -c or --data-dir the proxy's?"
	// controlTimeout bounds the fsync of a promise and of the WAL that was received before it.
	controlTimeout = time.Minute
)

// control serves the control socket.
type control struct {
	listener net.Listener
	server   *http.Server
}

// openControl listens in data_dir, which is this process's alone: a socket that is there is left over. nil
// when the path is too long for a socket.
func openControl(dir string, node *cluster.Node, set *settings, seen func() lsn.TimelineID, source admin.Source,
	log *slog.Logger,
) (*control, error) {
	path := filepath.Join(dir, controlSocket)
	if len(path) > maxSocketPath {
		log.Warn("no control socket, so no replproxy fence, forget, drop-rule: the path is too long",
			"path", path, "most", maxSocketPath)
		return nil, nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /fence", func(w http.ResponseWriter, r *http.Request) {
		t, err := timelineOf(r.FormValue("timeline"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if known := max(node.Highest(), seen()); t > known && r.FormValue("force") == "" {
			http.Error(w, fmt.Sprintf("timeline %s is above timeline %s, the highest that is known here; a fence is "+
				"for good, and this one would hold for servers to come: say --force if it is meant", t, known),
				http.StatusConflict)
			return
		}
		ending, err := node.Fence(r.Context(), t)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = printJSON(w, ending)
	})
	mux.Handle("GET /tail", tailHandler(node))
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		_ = printJSON(w, source.Status())
	})
	mux.HandleFunc("POST /forget", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("revoke") != "" {
			answer(w, node.Recall(r.FormValue("node")))
			return
		}
		answer(w, node.Forget(r.FormValue("node")))
	})
	mux.HandleFunc("POST /made-anew", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // what can't be read is no name
		for _, name := range r.Form["name"] {
			if err := node.MadeAnew(name); err != nil {
				answer(w, err)
				return
			}
		}
	})
	mux.HandleFunc("POST /drop-rule", func(w http.ResponseWriter, r *http.Request) {
		answer(w, set.dropRule(r.Context()))
	})
	server := &http.Server{
		Handler: audited(log, mux), ConnContext: withOperator,
		ReadHeaderTimeout: statusTimeout, IdleTimeout: statusTimeout,
	}
	return &control{descriptors.Patient(l, log), server}, nil
}

// answer is an empty document, or why not.
func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// Run serves until ctx ends.
func (c *control) Run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- c.server.Serve(c.listener) }()
	select {
	case <-ctx.Done():
		err := c.server.Close()
		<-ended
		return err
	case err := <-ended:
		return err
	}
}

// timelineOf reads a timeline's number; 0 is none.
func timelineOf(text string) (lsn.TimelineID, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("--timeline: %q is no timeline; the one to fence is the old primary's", text)
	}
	return lsn.TimelineID(n), nil
}

func fenceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fence",
		Short: "Make a running proxy never again vote or report for a timeline: before a promotion",
		Args:  cobra.NoArgs,
	}
	ask := controlFlags(cmd)
	timeline := cmd.Flags().String("timeline", "", "the highest timeline to fence: the old primary's")
	force := cmd.Flags().Bool("force", false, "fence a timeline above all that are known, too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		t, err := timelineOf(*timeline)
		if err != nil {
			return usageError{err}
		}
		path := "/fence?timeline=" + t.String()
		if *force {
			path += "&force=yes"
		}
		body, err := ask(path)
		if err != nil {
			return fmt.Errorf("NOT FENCED %w", err)
		}
		var e cluster.Ending
		if err := json.Unmarshal(body, &e); err != nil {
			return fmt.Errorf("read the answer of the proxy: %w", err)
		}
		of := ""
		if e.System != 0 {
			of = " of system " + e.System.String()
		}
		text := "%s is fenced up to timeline %s; its store is durable up to %s on timeline %s%s\n"
		fmt.Fprintf(cmd.OutOrStdout(), text, e.Node, e.Fenced, e.Flushed, e.Timeline, of)
		return nil
	}
	return cmd
}

// controlFlags adds the flags that say which proxy is meant to a command, and gives the way to post to it.
func controlFlags(cmd *cobra.Command) func(path string) ([]byte, error) {
	file := cmd.Flags().StringP("config", "c", "", "configuration file of the proxy")
	dir := cmd.Flags().String("data-dir", "", "data_dir of the proxy (default "+config.DefaultDataDir+")")
	return func(path string) ([]byte, error) {
		at, err := dataDirOf(cmd, *file, *dir)
		if err != nil {
			return nil, err
		}
		body, err := tell(cmd.Context(), filepath.Join(at, controlSocket), http.MethodPost, path)
		var refused errRefused
		switch {
		case errors.As(err, &refused):
			err = fmt.Errorf("by the proxy in %s: %w", at, err)
		case err != nil:
			err = fmt.Errorf("by a proxy in %s: %w; %s", at, err, unreached)
		}
		return body, err
	}
}

// errRefused is a running proxy's answer.
type errRefused string

func (e errRefused) Error() string { return string(e) }

// tell asks the control socket.
func tell(ctx context.Context, socket, method, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	var d net.Dialer
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://replproxy"+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, plain(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxStatus))
	if err == nil && res.StatusCode != http.StatusOK {
		err = errRefused(strings.TrimSpace(string(body)))
	}
	return body, err
}
