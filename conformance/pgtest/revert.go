package pgtest

import (
	"os"
	"testing"
)

// Snapshot copies the data directory of a stopped server, as a hypervisor does with its disk. revert puts the copy
// back; the server must be stopped then as well. It may be called more than once.
func (s *Server) Snapshot(t testing.TB) (revert func(t testing.TB)) {
	t.Helper()
	kept := s.Dir + ".snapshot"
	replace := func(t testing.TB, from, to string) {
		t.Helper()
		if s.Running() {
			t.Fatalf("%s runs", s.Name)
		}
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		if err := copyTree(from, to, s.Install.who, nil); err != nil {
			t.Fatalf("copy %s: %v", from, err)
		}
	}
	replace(t, s.Dir, kept)
	return func(t testing.TB) { t.Helper(); replace(t, kept, s.Dir) }
}

// Remake throws the data directory of a stopped server away and makes a standby of it anew, out of a copy of so.From.
// Port and settings stay. The server is left stopped.
func (s *Server) Remake(t testing.TB, so StandbyOptions) {
	t.Helper()
	if s.Running() {
		t.Fatalf("%s runs", s.Name)
	}
	if err := os.RemoveAll(s.Dir); err != nil {
		t.Fatal(err)
	}
	if err := s.cloneByCopy(t, so); err != nil {
		t.Fatalf("clone %s: %v", so.From.Name, err)
	}
	s.MakeStandby(t, so)
}
