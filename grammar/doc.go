// Package grammar is PostgreSQL's replication command language, 14 to 18: what a walsender reads in
// a simple query.
//
//	text ─► first token ─┬─ a command keyword ─► scan ─► parse ─► check options ─► Command
//	                     └─ anything else ─────► SQL (a physical walsender refuses it)
//	                                                                 Command ─► Render ─► text
//
// A few rules differ by release, two of them by minor release, so every entry takes the server's
// version as server_version_num. [Parse] goes as far as PostgreSQL goes without looking at its own
// state: scanner, grammar and option lists. Its errors carry PostgreSQL's SQLSTATE and message and
// come in PostgreSQL's order; whether a slot exists or a plugin loads is the executor's business.
//
// Invariants:
//
//  1. Parse accepts a text exactly when a server of that version executes it (the differential
//     corpus in testdata and conformance/relay/grammar_test.go hold this against live servers).
//  2. Parse(Render(c)) equals c for every c that Parse returned, of the same version.
//  3. Memory is linear in the length of the text; nothing panics on any input.
//
// Left to the server, because a loaded module or the build decides: unknown BASE_BACKUP targets and
// whether a compression method was compiled in. Everything here is pure and safe for concurrent use.
package grammar
