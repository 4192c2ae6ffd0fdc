// Package pgerror has the errors with which replproxy refuses: errors with PostgreSQL's severity, SQLSTATE and words,
// because walreceivers and people react to them.
//
//	cause ──► *pgerror.Error{FATAL, 57P03, "…", detail, hint} ──► ErrorResponse ──► client
//
// An Error is an ordinary Go error: it wraps a cause that is logged and never sent. [From] turns any
// error into one; what has no PostgreSQL form becomes XX000 with a neutral text, so that nothing
// internal leaks to a peer. Values are immutable after construction: the With methods copy.
package pgerror
