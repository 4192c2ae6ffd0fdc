package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
