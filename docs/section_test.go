package docs

import "testing"

// TestAnchors: a heading's link has no other characters than letters, digits and hyphens.
func TestAnchors(t *testing.T) {
	if got := anchorOf("The log's other warnings"); got != "the-logs-other-warnings" {
		t.Error(got)
	}
	if !HasSection("commits-wait") || HasSection("nowhere") {
		t.Error("a section is not found, or one that is not there")
	}
}
