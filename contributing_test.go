package replproxy

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// contributing is the page for whoever changes replproxy.
const contributing = "CONTRIBUTING.md"

var (
	target     = regexp.MustCompile(`(?m)^([a-z-]+):.*## `)
	forTests   = regexp.MustCompile(`\bREPLPROXY_[A-Z_]+\b`)
	ofChildren = []string{"REPLPROXY_BIN", "REPLPROXY_TEST_CHILD"} // set by tests, for programs that they start
)

// TestPageForDevelopers: the page names each target of make, and each variable that tests and scripts take.
func TestPageForDevelopers(t *testing.T) {
	page := read(t, contributing)
	targets := target.FindAllStringSubmatch(read(t, "Makefile"), -1)
	for _, m := range targets {
		if !slices.Contains([]string{"help", "clean"}, m[1]) && !strings.Contains(page, "`make "+m[1]) {
			t.Errorf("%s does not say what `make %s` is for", contributing, m[1])
		}
	}
	files := []string{"Makefile", ".ci/setup", "scripts/soak"}
	for _, s := range sources(t) {
		if s.test || under(s.dir, "conformance") {
			files = append(files, s.path)
		}
	}
	var names []string
	for _, path := range files {
		names = append(names, forTests.FindAllString(read(t, path), -1)...)
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(targets) < 10 || len(names) < 10 {
		t.Fatalf("%d targets, variables %q: they are not read", len(targets), names)
	}
	for _, name := range names {
		if !slices.Contains(ofChildren, name) && !strings.Contains(page, "`"+name) {
			t.Errorf("%s does not say what %s does", contributing, name)
		}
	}
}
