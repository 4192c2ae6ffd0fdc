package scene

import (
	"fmt"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/proxy/admin"
)

// ProxySlot returns a slot as /status shows it.
func ProxySlot(t *testing.T, proxy *pgtest.Proxy, name string) admin.Slot {
	t.Helper()
	for _, s := range Status(t, proxy).Slots {
		if s.Name == name {
			return s
		}
	}
	return admin.Slot{}
}

// Fill makes the primary write n MB of WAL.
func Fill(t *testing.T, primary *pgtest.Server, megabytes int) {
	t.Helper()
	primary.Exec(t, fmt.Sprintf(
		"SELECT pg_logical_emit_message(false, 'fill', repeat('x', 1 << 20)) FROM generate_series(1, %d)", megabytes))
}
