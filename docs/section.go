package docs

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// RunbookURL is the address of the page that has every warning and what it asks for.
const RunbookURL = "https://github.com/replproxy/replproxy/blob/main/docs/runbook.md"

// quoted is a warning as the runbook quotes it, with … for what varies.
type quoted struct {
	pattern *regexp.Regexp
	words   int    // bytes of it that do not vary
	anchor  string // of the section that quotes it
}

// quotes returns the messages that the runbook quotes, the most particular one first.
var quotes = sync.OnceValue(func() (all []quoted) {
	anchor := ""
	for line := range strings.Lines(Runbook) {
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

// Section returns the address of the section of the runbook that quotes a warning, or of the whole page.
func Section(warning string) string {
	if i := slices.IndexFunc(quotes(), func(q quoted) bool { return q.pattern.MatchString(warning) }); i >= 0 {
		return RunbookURL + "#" + quotes()[i].anchor
	}
	return RunbookURL
}

// HasSection reports whether the runbook has a heading whose link ends with that anchor.
func HasSection(anchor string) bool {
	for line := range strings.Lines(Runbook) {
		heading, is := strings.CutPrefix(strings.TrimPrefix(strings.TrimSpace(line), "#"), "# ")
		if is && anchorOf(heading) == anchor {
			return true
		}
	}
	return false
}
