package pgtest

import (
	"os"
	"path/filepath"
	"testing"
)

// Prometheus returns the path of a program of Debian's prometheus: prometheus or promtool.
func Prometheus(t testing.TB, program string) string {
	t.Helper()
	path := filepath.Join(cacheDir(), "prometheus", program)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run .ci/setup", err)
	}
	return path
}
