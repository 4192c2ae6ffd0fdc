// Package docs holds the pages that replproxy reads itself. The program that says a warning and the page that says what
// to do are of one release so: "replproxy status" names the section of docs/runbook.md that quotes the warning.
//
// It is text, which nobody changes, and safe for concurrent use.
package docs

import _ "embed" // the runbook

// Runbook holds docs/runbook.md.
//
//go:embed runbook.md
var Runbook string
