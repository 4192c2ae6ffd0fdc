package daemon

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/proxy/config"
)

// TestOpenFailed: who cannot start is told what to do about data_dir.
func TestOpenFailed(t *testing.T) {
	c := &config.Config{DataDir: "/srv/wal"}
	for err, want := range map[error]string{
		syscall.EROFS:          "ReadWritePaths",
		syscall.EACCES:         "must be able to write to data_dir",
		walstore.ErrForeignDir: "name an empty directory",
	} {
		got := openFailed(c, fmt.Errorf("make it: %w", err)).Error()
		if !strings.HasPrefix(got, "open store /srv/wal: make it: ") || !strings.Contains(got, want) {
			t.Errorf("%v: %s", err, got)
		}
	}
}
