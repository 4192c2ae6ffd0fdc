package pages

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/scene"
)

// documentedFiles is the list of docs/walstore-format.md as an expression for paths below data_dir.
func documentedFiles(t *testing.T) *regexp.Regexp {
	t.Helper()
	digits := regexp.MustCompile(`[0-9A-F]{24}|[0-9A-F]{8}|[0-9]+|<[^>]*>|\\\*`)
	dir, paths := "", []string{}
	for _, b := range scene.Blocks(t, "docs/walstore-format.md") {
		if !strings.HasPrefix(b.Text, "DATA_DIR/") {
			continue
		}
		for _, line := range strings.Split(b.Text, "\n")[1:] {
			name := strings.TrimSpace(line)
			name, _, _ = strings.Cut(name, "  ")
			if !strings.HasPrefix(line, "    ") {
				dir = ""
			}
			path := digits.ReplaceAllStringFunc(regexp.QuoteMeta(dir+name), func(s string) string {
				switch {
				case len(s) == 24 || len(s) == 8:
					return "[0-9A-F]{" + map[int]string{24: "24", 8: "8"}[len(s)] + "}"
				case s[0] == '<':
					return "[^/]+"
				case s == `\*`:
					return ".*"
				}
				return "[0-9]+"
			})
			if strings.HasSuffix(name, "/") && !strings.Contains(name, "<") {
				dir = name
			} else if strings.HasSuffix(name, "/") {
				paths = append(paths, path+"[^/]+")
			} else if name != "" {
				paths = append(paths, path)
			}
		}
	}
	if len(paths) < 20 {
		t.Fatalf("docs/walstore-format.md lists %q: reading is broken", paths)
	}
	return regexp.MustCompile(`^(` + strings.Join(paths, "|") + `)(\.tmp)?$`)
}

// listed finds every file of data_dir on a machine in the list of docs/walstore-format.md.
func listed(t *testing.T, m *machine) {
	t.Helper()
	files, root, n := documentedFiles(t), filepath.Join(m.dir, "lib", "replproxy"), 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if n++; !files.MatchString(name) {
			t.Errorf("%s: data_dir has %s, which docs/walstore-format.md does not list", m.Name, name)
		}
		return err
	})
	if err != nil || n < 5 {
		t.Errorf("%s has %d files: %v", root, n, err)
	}
}
