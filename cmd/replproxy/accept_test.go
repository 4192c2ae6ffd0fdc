package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
	"github.com/replproxy/replproxy/internal/durable"
)

// swapped replaces each file, as soon as it has its name, by another name of victim.
type swapped struct {
	readable
	victim string
}

func (s swapped) Rename(from, to string) error {
	return errors.Join(s.readable.Rename(from, to), os.Remove(to), os.Link(s.victim, to))
}

// adoptedStore makes dir the data_dir of a proxy whose store is for a system.
func adoptedStore(t *testing.T, dir string, system lsn.SystemID) {
	t.Helper()
	s, err := walstore.Open(t.Context(), walstore.Options{Dir: filepath.Join(dir, "x")})
	if err == nil {
		err = s.Adopt(walstore.Identity{System: system, SegSize: lsn.MinSegSize, ServerMajor: 15})
		err = errors.Join(err, s.Close(), os.Rename(filepath.Join(dir, "x", "replproxy.meta"),
			filepath.Join(dir, "replproxy.meta")))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestAcceptedNamesItsSystem: a word that is forced holds for the system of the store that it was said to; -c finds it.
func TestAcceptedNamesItsSystem(t *testing.T) {
	dir := t.TempDir()
	adoptedStore(t, dir, 7)
	file := filepath.Join(t.TempDir(), "replproxy.yml")
	if err := os.WriteFile(file, []byte("data_dir: "+dir+"\nupstream: {conninfo: host=db1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := acceptance{dir: dir, log: slog.New(slog.DiscardHandler)}
	if code, _, _ := program(t, nil, "accept-timeline", "3", "-c", file); code == 0 || a.unused() != nil {
		t.Error("nothing waits, and it is accepted")
	}
	if code, _, errs := program(t, nil, "accept-timeline", "3", "--force", "-c", file); code != 0 {
		t.Fatal(errs)
	}
	if s := a.unused(); s == nil || s.System != "7" || s.Timeline != 3 || !s.Forced || len(acceptedWarnings(s)) != 1 {
		t.Errorf("status has %+v", s)
	}
	other := *forked
	other.System = 8
	if !a.Accepted(forked) || a.Accepted(&other) {
		t.Error("the word is about another system, or not about this one")
	}
	if code, _, errs := program(t, nil, "accept-timeline", "3", "--revoke", "-c", file); code != 0 || a.unused() != nil {
		t.Error(errs)
	}
}

// TestAcceptedIsReadable: whoever runs the proxy may read the word, and a file that its user puts there meanwhile stays
// as closed as it was.
func TestAcceptedIsReadable(t *testing.T) {
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, acceptName)
	if err := os.WriteFile(victim, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	adoptedStore(t, dir, 7)
	mode := func(name string) os.FileMode {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	if code, _, errs := program(t, nil, "accept-timeline", "2", "--force", "--data-dir", dir); code != 0 || mode(path) != 0o644 {
		t.Errorf("exit code %d, mode %v: %s", code, mode(path), errs)
	}
	if err := durable.WriteFile(swapped{victim: victim}, path, []byte("2\n")); err != nil || mode(victim) != 0o600 {
		t.Errorf("%v; mode of another file: %v", err, mode(victim))
	}
}
