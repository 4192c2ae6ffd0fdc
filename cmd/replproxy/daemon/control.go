package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/replproxy/replproxy/cluster"
	"github.com/replproxy/replproxy/cluster/tail"
	"github.com/replproxy/replproxy/cmd/replproxy/show"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/descriptors"
	"github.com/replproxy/replproxy/proxy/admin"
)

const (
	// ControlSocket takes commands that change something: whoever may write to data_dir may use it.
	ControlSocket = "control.sock"
	// maxSocketPath bounds the path of a Unix socket, in bytes: sun_path of Linux has 108 with the final zero.
	maxSocketPath = 107
	// controlIdle bounds a connection that asks nothing.
	controlIdle = 5 * time.Second
)

// control serves the control socket.
type control struct {
	listener net.Listener
	server   *http.Server
}

// openControl listens in data_dir, which is this process's alone: a socket that is there is left over. nil
// when the path is too long for a socket. waits says why the rule must not be dropped, nil: it may be.
func openControl(dir string, node *cluster.Node, set *settings, seen func() lsn.TimelineID,
	waits func(context.Context) error, source admin.Source, log *slog.Logger,
) (*control, error) {
	path := filepath.Join(dir, ControlSocket)
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
		t, err := tail.ParseTimeline(r.FormValue("timeline"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := node.Fenceable(t, seen()); err != nil && r.FormValue("force") == "" {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		ending, err := node.Fence(r.Context(), t)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = show.JSON(w, ending)
	})
	mux.Handle("GET /tail", tailHandler(node))
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		_ = show.JSON(w, source.Status())
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
			err := node.MadeAnew(name, r.Form.Get("force") != "")
			if errors.As(err, new(*cluster.UnreadyError)) {
				http.Error(w, err.Error(), http.StatusConflict)
				return
			}
			if err != nil {
				answer(w, err)
				return
			}
		}
	})
	mux.HandleFunc("POST /drop-rule", func(w http.ResponseWriter, r *http.Request) {
		if err := waits(r.Context()); err != nil && r.FormValue("force") == "" {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		answer(w, set.dropRule(r.Context()))
	})
	server := &http.Server{
		Handler: audited(log, mux), ConnContext: withOperator,
		ReadHeaderTimeout: controlIdle, IdleTimeout: controlIdle,
	}
	return &control{descriptors.Patient(l, log), server}, nil
}

// answer writes an empty document, or why not.
func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// Run serves until ctx ends, and breaks off answers that are under way then. An earlier end is an error.
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
