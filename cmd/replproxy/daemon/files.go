package daemon

import (
	"log/slog"

	"github.com/replproxy/replproxy/internal/descriptors"
	"github.com/replproxy/replproxy/proxy/config"
)

// openFiles raises the limit of open files and compares it with what the configuration lets clients have. Its error
// ends the start: with so few nothing works. With fewer than are configured clients are refused earlier.
func openFiles(c *config.Config, log *slog.Logger) (*descriptors.Room, error) {
	files, err := descriptors.Raise()
	if err != nil {
		log.Warn("cannot raise the limit of open files", "err", err)
	}
	if err := files.Check(); err != nil {
		return nil, err
	}
	if sessions, fewer := files.Sessions(c.Limits.MaxConnections); fewer {
		log.Warn("the limit of open files is too low for limits.max_connections: clients beyond it are refused",
			"open_files", files.Limit, "sessions", sessions, "sessions_wanted", 2*c.Limits.MaxConnections,
			"remedy", "raise ulimit -n or LimitNOFILE, or lower limits.max_connections")
	}
	return descriptors.NewRoom(files), nil
}
