package pgtest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// Main runs the tests of a package that uses servers, as its TestMain. It runs them without libpq's environment, which
// would change the meaning of a conninfo. It removes the files that outlive single tests (the built replproxy), and
// fails the process when a goroutine is left over. It does not return.
func Main(m *testing.M) {
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "PG") {
			_ = os.Unsetenv(name)
		}
	}
	code := m.Run()
	if dir, err := processDir(); err == nil {
		_ = os.RemoveAll(dir)
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
