package pgtest

import (
	"os"
	"testing"
)

// Snapshot keeps a copy of a stopped server's data directory, as a volume's snapshot does. The function that it
// returns puts the server, which must be stopped again, back to it.
func (s *Server) Snapshot(t testing.TB) (revert func(t testing.TB)) {
	t.Helper()
	if s.Running() {
		t.Fatalf("%s runs", s.Name)
	}
	who := serverAccount(t)
	kept := tempDir(t, who) + "/snapshot"
	replace := func(t testing.TB, from, to string) {
		t.Helper()
		if err := copyTree(from, to, who, nil); err != nil {
			t.Fatalf("copy %s to %s: %v", from, to, err)
		}
	}
	replace(t, s.Dir, kept)
	return func(t testing.TB) {
		t.Helper()
		if s.Running() {
			t.Fatalf("%s runs", s.Name)
		}
		if err := os.RemoveAll(s.Dir); err != nil {
			t.Fatal(err)
		}
		replace(t, kept, s.Dir)
	}
}
