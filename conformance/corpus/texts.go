package corpus

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// goldenName is the one text file of a corpus's folder that is no part of the corpus.
const goldenName = "golden.txt"

// Texts reads all *.txt files of a folder but the golden file, in order of name and line.
func Texts(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	var texts []string
	seen := map[string]string{}
	for _, file := range files {
		if filepath.Base(file) == goldenName {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for n, line := range strings.Split(string(content), "\n") {
			if line == "" || line[0] == '#' {
				continue
			}
			where := fmt.Sprintf("%s:%d", file, n+1)
			text, err := Unescape(line)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", where, err)
			}
			if first, twice := seen[text]; twice {
				return nil, fmt.Errorf("%s: %q stands at %s already", where, text, first)
			}
			seen[text] = where
			texts = append(texts, text)
		}
	}
	return texts, nil
}
