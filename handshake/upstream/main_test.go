package upstream

import (
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

func TestMain(m *testing.M) {
	for _, kv := range os.Environ() { // libpq's environment would change what conninfo means
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "PG") {
			os.Unsetenv(name)
		}
	}
	code := m.Run()
	pgtest.CleanUp()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// config parses conninfo in an empty home.
func config(t *testing.T, conninfo string) *Config {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	c, err := Parse(conninfo)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
