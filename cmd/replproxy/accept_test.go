package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

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

// TestAcceptedIsReadable: whoever runs the proxy may read the word, and a file that its user puts there meanwhile stays
// as closed as it was.
func TestAcceptedIsReadable(t *testing.T) {
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, acceptName)
	for _, name := range []string{victim, filepath.Join(dir, "replproxy.meta")} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
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
