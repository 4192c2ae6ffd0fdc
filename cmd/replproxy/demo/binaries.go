package demo

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// needed are the programs of PostgreSQL that the demo calls.
var needed = []string{"initdb", "postgres", "pg_basebackup", "pgbench"}

// places lists the directories where packages put PostgreSQL's programs, besides PATH.
var places = []string{
	"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/usr/local/opt/postgresql*/bin",
	"/opt/homebrew/opt/postgresql*/bin",
}

// ErrNoPostgreSQL says that there is nothing to demonstrate with.
var ErrNoPostgreSQL = errors.New("PostgreSQL's server and client programs were not found on this machine")

// findBinaries returns the directory that has every needed program: bindir when it is given, else PATH, else the
// newest version that a package left.
func findBinaries(bindir string) (string, error) {
	if bindir != "" {
		if missing := missingIn(bindir); len(missing) > 0 {
			return "", fmt.Errorf("--bindir %s has no %s", bindir, strings.Join(missing, ", "))
		}
		return filepath.Abs(bindir)
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil && len(missingIn(filepath.Dir(real))) == 0 {
			return filepath.Dir(real), nil
		}
	}
	var found []string
	for _, pattern := range places {
		dirs, _ := filepath.Glob(pattern)
		for _, d := range dirs {
			if len(missingIn(d)) == 0 {
				found = append(found, d)
			}
		}
	}
	if len(found) == 0 {
		return "", fmt.Errorf("%w (%s): install them, as in \"apt install postgresql\", "+
			"or name their directory with --bindir", ErrNoPostgreSQL, strings.Join(needed, ", "))
	}
	sort.SliceStable(found, func(i, j int) bool { return versionOf(found[i]) > versionOf(found[j]) })
	return found[0], nil
}

func missingIn(dir string) []string {
	var missing []string
	for _, name := range needed {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			missing = append(missing, name)
		}
	}
	return missing
}

var digits = regexp.MustCompile(`[0-9]+`)

// versionOf returns the first number in a path, 0 for none.
func versionOf(path string) int {
	n, _ := strconv.Atoi(digits.FindString(path))
	return n
}
