// Package corpus holds the parsers of grammar against real servers: lists of texts, what every server
// version said of each, and what the parser says.
//
//	testdata/*.txt ── Texts ──┬─► server of each version ─► outcome ─┐
//	                          │                                      ├─ equal, or the test fails
//	                          └─► Command, Rule (the parser) ────────┘
//	testdata/golden.txt ◄── Golden: text → version → outcome (recorded; lets the parser be tested alone)
//
// One text per line, with backslash escapes; a line that begins with # is a comment. An outcome is one
// line: the notices, then "accepted" or "error SQLSTATE message". What a server refuses because of its
// state counts as accepted, and what only its build decides is "build", which is compared with nothing.
//
// Invariants: a text stands once in a corpus, and a golden file has no text that the corpus has not.
package corpus
