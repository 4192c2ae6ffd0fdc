package upstream

import (
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

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
