// Package console answers queries on connections to the database replproxy: the status document as result sets, read
// only.
//
//	SHOW STANDBYS; ──► Answer(text, status) ──► columns and rows, or PostgreSQL's kind of error
//
// It is pure. Who may ask is decided at the log-in, by the primary (docs/adr/0017).
//
// Invariant: columns are the fields of the status document under their names there, so docs/status.md
// documents both.
package console
