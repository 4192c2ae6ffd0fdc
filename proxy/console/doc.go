// Package console answers a client of the database replproxy: SQL over the state of the proxy, read only, and the SHOW
// commands for people.
//
//	message ── Session.Message ──► simple or extended query ──► sql.Query over Snapshot ──► messages
//
// A session is the protocol without a socket. Its tables are PostgreSQL's views, with the columns of the upstream's
// version, and the lists of the status document under their names there. Who may ask is decided at the log-in
// (docs/adr/0017).
//
// A client is trusted to look, but not with memory or time. The bounds of a message and a session are in bounds.go,
// with their reasons, and those of a statement in package sql. What goes beyond is an error, and the session goes on.
//
// Invariant: a name of the console that PostgreSQL has too has PostgreSQL's columns and types. Columns of its own are
// the fields of the status document, so docs/status.md documents them.
package console
