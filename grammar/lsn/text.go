package lsn

import "regexp"

// position matches an LSN as PostgreSQL and replproxy print it.
var position = regexp.MustCompile(`\b[0-9A-F]{1,8}/[0-9A-F]{1,8}\b`)

// WithoutPositions returns text with a dash for each LSN in it. Texts that are equal then say the same: positions move
// while nothing happens that somebody must know. What is logged once goes by that.
func WithoutPositions(text string) string { return position.ReplaceAllLiteralString(text, "-") }
