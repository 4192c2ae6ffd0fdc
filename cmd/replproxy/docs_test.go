package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var (
	spanPattern    = regexp.MustCompile("`([^`\n]+)`")
	commandPattern = regexp.MustCompile(`\breplproxy ([a-z][a-z-]*)([^|#'"&;)]*)`)
	flagPattern    = regexp.MustCompile(`(?:^|\s)--([a-z][a-z-]*)`)
)

// TestPagesNameCommands: commands and flags that a page shows as code exist, and each of them is told of somewhere
// (the flags of the configuration: in the reference, as keys).
func TestPagesNameCommands(t *testing.T) {
	root, told, flags := rootCommand(io.Discard, io.Discard), map[string]bool{}, map[string]bool{}
	commands := map[string]*cobra.Command{}
	for _, c := range root.Commands() {
		commands[c.Name()] = c
	}
	paths, err := filepath.Glob("../../docs/*.md")
	more, err2 := filepath.Glob("../../*.md")
	adr, err3 := filepath.Glob("../../docs/adr/*.md")
	paths = append(append(paths, more...), adr...)
	if err != nil || err2 != nil || err3 != nil || len(paths) < 20 {
		t.Fatal(paths, err, err2, err3)
	}
	for _, path := range append(paths, "etc/replproxy.yml", "../../packaging/replproxy.service") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range shown(string(text), strings.HasSuffix(path, ".md")) {
			for _, f := range flagPattern.FindAllStringSubmatch(line, -1) {
				flags[f[1]] = true
			}
			flags["c"] = flags["c"] || strings.Contains(line, " -c ")
			for _, m := range commandPattern.FindAllStringSubmatch(line, -1) {
				c, ok := commands[m[1]]
				if !ok {
					if strings.HasSuffix(path, ".md") {
						t.Errorf("%s: there is no command replproxy %s", path, m[1])
					}
					continue
				}
				told[m[1]] = true
				for _, f := range flagPattern.FindAllStringSubmatch(m[2], -1) {
					if c.Flags().Lookup(f[1]) == nil && f[1] != "help" {
						t.Errorf("%s: replproxy %s has no flag --%s", path, m[1], f[1])
					}
				}
			}
		}
	}
	for name, c := range commands {
		if !told[name] && name != "help" {
			t.Errorf("no page tells of replproxy %s", name)
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !isConfigFlag(f.Name) && !flags[f.Name] && !flags[f.Shorthand] && f.Name != "help" {
				t.Errorf("no page tells of --%s of replproxy %s", f.Name, name)
			}
		})
	}
}

// shown are the pieces of a page that are code: blocks, fenced or indented by four, and spans.
func shown(text string, markdown bool) (all []string) {
	if !markdown {
		return strings.Split(text, "\n")
	}
	fenced := false
	for _, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			fenced = !fenced
		case fenced || strings.HasPrefix(line, "    "):
			all = append(all, line)
		default:
			for _, m := range spanPattern.FindAllStringSubmatch(line, -1) {
				all = append(all, m[1])
			}
		}
	}
	return all
}
