package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
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
	if code, _, errs := program(t, nil, "accept-timeline", "2", "--data-dir", dir); code != 0 || mode(path) != 0o644 {
		t.Errorf("exit code %d, mode %v: %s", code, mode(path), errs)
	}
	if err := durable.WriteFile(swapped{victim: victim}, path, []byte("2\n")); err != nil || mode(victim) != 0o600 {
		t.Errorf("%v; mode of another file: %v", err, mode(victim))
	}
}

// TestAcceptance: a word is used once, what it gave up is remembered, and a file that nobody can read is no word.
func TestAcceptance(t *testing.T) {
	a := acceptance{t.TempDir(), slog.New(slog.DiscardHandler)}
	if from, to := a.GivenUp(0); a.Accepted(0) || a.Accepted(1) || from != 0 || to != 0 {
		t.Error("without a word something is accepted")
	}
	say := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(a.dir, acceptName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	say("3\n") // as release v0.1.0 writes it
	if !a.Accepted(3) || a.Accepted(2) {
		t.Error("timeline 3 is not accepted, or 2 is")
	}
	if err := a.Use(2, 0x3000060, 0x5000000, true); err != nil {
		t.Fatal(err)
	}
	name, done := a.setAside()
	if name != "2-0-3000060-lost" || a.Accepted(2) || a.Accepted(3) {
		t.Errorf("aside goes to %q", name)
	}
	if err := done(); err != nil {
		t.Fatal(err)
	}
	if name, _ := a.setAside(); name != "" {
		t.Errorf("the next start would set aside too, to %q", name)
	}
	if from, to := a.GivenUp(2); from != 0x3000060 || to != 0x5000000 {
		t.Errorf("given up are %s to %s", from, to)
	}
	for _, text := range []string{"", "x", "1 2", "1 0/1", "1 0/1 0/2 away", strings.Repeat("9", 30)} {
		say(text)
		if from, to := a.GivenUp(1); a.Accepted(1) || from != 0 || to != 0 {
			t.Errorf("%q is a word", text)
		}
	}
}
