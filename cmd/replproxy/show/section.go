package show

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/replproxy/replproxy/docs"
)

// Runbook has every warning and what it asks for.
const Runbook = "https://github.com/replproxy/replproxy/blob/main/docs/runbook.md"

// quoted is a warning as the runbook quotes it, with … for what varies.
type quoted struct {
	pattern *regexp.Regexp
	words   int    // bytes of it that do not vary
	anchor  string // of the section that quotes it
}

// quotes returns the messages that the runbook quotes, the most particular one first.
var quotes = sync.OnceValue(func() (all []quoted) {
	anchor := ""
	for line := range strings.Lines(docs.Runbook) {
		line = strings.TrimSpace(line)
		if heading, is := strings.CutPrefix(strings.TrimPrefix(line, "#"), "# "); is {
			anchor = anchorOf(heading)
		}
		text, is := strings.CutPrefix(line, "> - warning: ")
		if !is {
			continue
		}
		pieces := strings.Split(text, "…")
		for i := range pieces {
			pieces[i] = regexp.QuoteMeta(pieces[i])
		}
		all = append(all, quoted{regexp.MustCompile("(?s)^" + strings.Join(pieces, ".*")), len(text), anchor})
	}
	slices.SortStableFunc(all, func(a, b quoted) int { return b.words - a.words })
	return all
})

// notInAnchors matches the characters of a heading that a link to it leaves out.
var notInAnchors = regexp.MustCompile(`[^a-z0-9_ -]`)

// anchorOf returns the part behind # of a link to a heading.
func anchorOf(heading string) string {
	return strings.ReplaceAll(notInAnchors.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

// remedies returns the sections of the runbook with the remedies for warnings: one each, in their order, or the whole
// page.
func remedies(warnings []string) (all []string) {
	for _, w := range warnings {
		at := Runbook
		if i := slices.IndexFunc(quotes(), func(q quoted) bool { return q.pattern.MatchString(w) }); i >= 0 {
			at += "#" + quotes()[i].anchor
		}
		if !slices.Contains(all, at) {
			all = append(all, at)
		}
	}
	return all
}
