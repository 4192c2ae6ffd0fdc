// Package sql reads and answers the SQL of the console: SELECT over one table of rows, or over none.
//
//	text ── Parse ──► Statement ── Prepare(World) ──► Query: columns, parameters ── Run(World) ──► rows
//
// It knows only rows: what they tell of is the caller's, as are the values of functions such as version(). Statements
// other than SELECT are split into words, for the caller to judge.
//
// Invariant: an answer is PostgreSQL's, with its types, names and order (text by bytes, as in the collation C), or an
// error. What PostgreSQL has and this package does not is refused as 0A000 with the position. TestDifferential holds
// both against servers.
//
// Bounds, in bounds.go with their reasons, hold for each statement: depth, nodes, output columns, and steps. An operand
// that is read several times is evaluated once, so that cost grows with the text.
//
// Within the package a fault of the statement is thrown as a *pgerror.Error. Parse, Prepare and Run catch it, and
// return it.
package sql
