// Package trace holds the proxy against PostgreSQL message by message: exchanges that cover every command
// and every error of a walsender, and what a server of each major version answered.
//
//	testdata/*.trace ── Read ──► Exchange ──┬─► PostgreSQL ── Play ──► answers = recorded ones (of that version)
//	                                        │                             │ Deviations.Apply
//	                                        └─► replproxy ─── Play ──► answers = PostgreSQL's
//
// A trace file is script and recording in one. To add an exchange write its steps and run `make traces`,
// which plays all of them against all majors and writes the answers below the steps:
//
//	== a slot in use                      name of an exchange, with connections of its own
//	a> connect replication=true           session a logs in; without a name there is one session
//	> Q IDENTIFY_SYSTEM                   send, and read until the server waits or has closed
//	+ c                                   send only: here CopyDone
//	? Z                                   read up to a message: Z, c, E, k (keepalive), w (WAL), end, close
//	    C IDENTIFY_SYSTEM                 an answer; after "  14 15:" it is those majors' only
//
// Messages are Q, P, B, D, E, C, F, H, S, X, c, d, f, p as in the protocol, startup[/3.2], ssl, gss, status, feedback,
// bytes and eof. The others are scram (first, then the password), cancel, and interrupt (another session; the second
// until it is heard). $flush, $segment, $unaligned, $fork, $before_fork and $sent are positions; sql> and do> act
// beside the protocol.
//
// Shown of a message are its type and all fields in their order. Two servers or two runs cannot agree on some things,
// which are set aside. They are positions other than 0/0, times, process ids, cancel keys but for their length, nonces
// and salts, the system identifier, and names of snapshots. So are F, L and R of errors, which point into PostgreSQL's
// sources, and the order of neighbouring ParameterStatus messages, which 16 and later do not keep. The number of
// neighbouring CopyData messages of one kind does not count either, nor WAL that comes when nobody waits for it. Of
// WAL and keepalives remains whether they go on where they should and where pieces are cut.
//
// Invariants:
//
//  1. The answers of a version that a file was recorded from are the file's.
//  2. The proxy's answers are PostgreSQL's, but for the deviations in one table, each with its reason;
//     one that does not occur fails the test.
//  3. An exchange leaves nothing behind on the server.
package trace
