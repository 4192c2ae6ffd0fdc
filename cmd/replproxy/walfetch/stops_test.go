package walfetch

import (
	"os"
	"path/filepath"
	"testing"
)

// TestStopsRecovery: only a standby asks again by itself.
func TestStopsRecovery(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if !StopsRecovery(dir) {
		t.Error("a recovery to a point goes on without WAL that may be there")
	}
	if err := os.WriteFile(filepath.Join(dir, "standby.signal"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if StopsRecovery(dir) {
		t.Error("a standby is stopped")
	}
}
