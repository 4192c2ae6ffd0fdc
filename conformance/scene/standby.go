package scene

import (
	"fmt"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// WriteWAL writes about mb MiB of WAL and ends its last segment.
func WriteWAL(t *testing.T, server *pgtest.Server, mb int) {
	t.Helper()
	server.Exec(t, fmt.Sprintf("SELECT pg_logical_emit_message(false, 'fill', repeat('x', 1 << 20)) "+
		"FROM generate_series(1, %d)", mb))
	server.Exec(t, "SELECT pg_switch_wal()")
}
