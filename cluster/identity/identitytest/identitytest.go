package identitytest

import (
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/replproxy/replproxy/cluster/identity"
)

// Node returns a proxy with a new key.
func Node(t testing.TB, name string) *identity.Node {
	t.Helper()
	n, err := identity.Open(filepath.Join(t.TempDir(), name), name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Members returns the list of a cluster that has these proxies.
func Members(t testing.TB, nodes ...*identity.Node) *identity.Members {
	t.Helper()
	var lines []string
	for _, n := range nodes {
		lines = append(lines, n.Line())
	}
	m, err := identity.ParseMembers(lines)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Logger logs to the test. What comes after its end is dropped: memberlist's goroutines outlast it.
func Logger(t *testing.T) *slog.Logger {
	w := &writer{t: t}
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.t = nil
	})
	return slog.New(slog.NewTextHandler(w, nil))
}

type writer struct {
	mu sync.Mutex
	t  *testing.T // nil: it has ended
}

func (w *writer) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t != nil {
		w.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}
