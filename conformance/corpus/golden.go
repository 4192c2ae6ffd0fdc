package corpus

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/replproxy/replproxy/grammar"
)

// Golden has the servers' answers: text → version → outcome.
type Golden map[string]map[grammar.Version]string

// ReadGolden reads the golden file of a folder. A folder without one has an empty Golden.
func ReadGolden(dir string) (Golden, error) {
	g := Golden{}
	content, err := os.ReadFile(filepath.Join(dir, goldenName))
	if errors.Is(err, os.ErrNotExist) {
		return g, nil
	}
	if err != nil {
		return nil, err
	}
	text := ""
	for n, line := range strings.Split(string(content), "\n") {
		switch {
		case line == "" || line[0] == '#':
			continue
		case line[0] == '\t':
			err = g.readOutcome(text, line[1:])
		default:
			text, err = Unescape(line)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", filepath.Join(dir, goldenName), n+1, err)
		}
	}
	return g, nil
}

func (g Golden) readOutcome(text, line string) error {
	versions, outcome, ok := strings.Cut(line, ": ")
	if !ok {
		return fmt.Errorf("expected versions and an outcome, got %q", line)
	}
	for _, v := range strings.Fields(versions) {
		n, err := strconv.Atoi(v)
		if err != nil {
			return err
		}
		g.Set(text, grammar.Version(n), outcome)
	}
	return nil
}

// Set records one outcome.
func (g Golden) Set(text string, v grammar.Version, outcome string) {
	if g[text] == nil {
		g[text] = map[grammar.Version]string{}
	}
	g[text][v] = outcome
}

// Knows reports whether g has an outcome of a version.
func (g Golden) Knows(v grammar.Version) bool {
	for _, byVersion := range g {
		if _, ok := byVersion[v]; ok {
			return true
		}
	}
	return false
}

// Write writes the golden file of a folder in the order of texts, versions that agree on one line.
// What g holds of other texts is dropped.
func (g Golden) Write(dir string, texts []string) error {
	var b strings.Builder
	b.WriteString("# Recorded from live servers by go test ./conformance/relay -run Differential -update\n")
	for _, text := range texts {
		b.WriteString(Escape(text) + "\n")
		for _, group := range groups(g[text]) {
			b.WriteString("\t" + group + "\n")
		}
	}
	return os.WriteFile(filepath.Join(dir, goldenName), []byte(b.String()), 0o644)
}

// groups puts the versions of each outcome on one line, oldest first.
func groups(byVersion map[grammar.Version]string) []string {
	versions := slices.Sorted(maps.Keys(byVersion))
	var order, lines []string
	members := map[string][]string{}
	for _, v := range versions {
		outcome := byVersion[v]
		if members[outcome] == nil {
			order = append(order, outcome)
		}
		members[outcome] = append(members[outcome], strconv.Itoa(int(v)))
	}
	for _, outcome := range order {
		lines = append(lines, strings.Join(members[outcome], " ")+": "+outcome)
	}
	return lines
}
