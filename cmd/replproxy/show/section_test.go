package show

import (
	"slices"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/docs"
)

// TestRemedies: each warning that the runbook quotes leads to the section that quotes it, and several of one section do
// once.
func TestRemedies(t *testing.T) {
	section, lines := "", 0
	for line := range strings.Lines(docs.Runbook) {
		if heading, is := strings.CutPrefix(strings.TrimPrefix(line, "#"), "# "); is {
			section = docs.RunbookURL + "#" + strings.ReplaceAll(strings.ToLower(strings.ReplaceAll(strings.TrimSpace(heading), "'", "")), " ", "-")
		}
		if text, is := strings.CutPrefix(line, "> - warning: "); is {
			lines++
			said := strings.ReplaceAll(strings.TrimSpace(text), "…", "0/3000060")
			if got := remedies([]string{said, said}); !slices.Equal(got, []string{section}) {
				t.Errorf("%q leads to %q, want %s", said, got, section)
			}
		}
	}
	if lines < 50 {
		t.Fatalf("%d warnings: the search is broken", lines)
	}
	got := remedies([]string{"commits on the primary that wait for this proxy wait: ANY 2 (s1, s2) has 1 candidate", "unheard of",
		"not heard: proxy_b, since 12:00:00: connection refused"})
	if want := []string{docs.RunbookURL + "#commits-wait", docs.RunbookURL, docs.RunbookURL + "#the-cluster"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
