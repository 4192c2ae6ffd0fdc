package upstream

import (
	"fmt"
	"io"
	"testing"

	"github.com/replproxy/replproxy/grammar/pgerror"
)

// TestShutOut: only what the primary says of the role, or the database, is taken for "may not log in for SQL".
func TestShutOut(t *testing.T) {
	t.Parallel()
	for code, want := range map[pgerror.Code]bool{
		pgerror.InvalidAuthorization:  true,
		pgerror.InvalidPassword:       true,
		pgerror.InsufficientPrivilege: true,
		"3D000":                       true,
		pgerror.CannotConnectNow:      false, // it stops
		pgerror.TooManyConnections:    false,
		"":                            false,
	} {
		if got := ShutOut(fmt.Errorf("connection failed: %w", pgerror.Fatal(code, "no"))); got != want {
			t.Errorf("%s: %v", code, got)
		}
	}
	if ShutOut(io.EOF) {
		t.Error("a connection that was cut")
	}
}
