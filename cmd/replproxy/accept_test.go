package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

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

// TestAcceptedNamesItsSystem: a word that is forced names the system of the store that it was said to; -c finds it.
func TestAcceptedNamesItsSystem(t *testing.T) {
	dir := t.TempDir()
	adoptedStore(t, dir, 7)
	file := filepath.Join(t.TempDir(), "replproxy.yml")
	if err := os.WriteFile(file, []byte("data_dir: "+dir+"\nupstream: {conninfo: host=db1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	word := func() string {
		text, err := os.ReadFile(filepath.Join(dir, "accept-timeline"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		return string(text)
	}
	if code, _, _ := program(t, nil, "accept-timeline", "3", "-c", file); code == 0 || word() != "" {
		t.Error("nothing waits, and it is accepted")
	}
	if code, _, errs := program(t, nil, "accept-timeline", "3", "--force", "-c", file); code != 0 || word() != "3 force in 7\n" {
		t.Errorf("%s: the word is %q", errs, word())
	}
	if code, _, errs := program(t, nil, "accept-timeline", "3", "--revoke", "-c", file); code != 0 || word() != "" {
		t.Error(errs)
	}
}

// TestAcceptedIsReadable: whoever runs the proxy may read the word.
func TestAcceptedIsReadable(t *testing.T) {
	dir := t.TempDir()
	adoptedStore(t, dir, 7)
	code, _, errs := program(t, nil, "accept-timeline", "2", "--force", "--data-dir", dir)
	info, err := os.Stat(filepath.Join(dir, "accept-timeline"))
	if code != 0 || err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("exit code %d, %v, %v: %s", code, info, err, errs)
	}
}
