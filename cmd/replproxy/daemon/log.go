package daemon

import (
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"time"

	"github.com/replproxy/replproxy/internal/logqueue"
	"github.com/replproxy/replproxy/proxy/config"
)

// logFlush bounds how long the end waits for the log's reader. One that reads takes all that waits in milliseconds.
const logFlush = time.Second

// openLog makes the daemon's log, whose lines wait in the queue for w, and starts the queue's goroutine, which Close of
// the queue ends. What libraries log by themselves goes the same way.
func openLog(c *config.Config, level slog.Leveler, w io.Writer) (*logqueue.Queue, *slog.Logger) {
	queue := logqueue.New(logqueue.Options{Out: w, Dropped: func(w io.Writer, lines uint64) {
		slog.New(logHandler(c, slog.LevelInfo, w)).Warn(
			fmt.Sprintf("%d log lines were dropped: whoever reads the log was too slow", lines), "part", "log")
	}})
	go queue.Run()
	stdlog.SetOutput(queue)
	return queue, slog.New(logHandler(c, level, queue))
}

func logHandler(c *config.Config, level slog.Leveler, w io.Writer) slog.Handler {
	o := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.NewJSONHandler(w, o)
	}
	return slog.NewTextHandler(w, o)
}

// lastWords says why the daemon ends by way of its log, since stderr may block, and does not block itself. It returns a
// [SaidError], which is left for the exit code; nil for nil.
func lastWords(queue *logqueue.Queue, err error) error {
	if err == nil {
		return nil
	}
	fmt.Fprintf(queue, "replproxy: %v\n", err)
	return SaidError{err}
}
