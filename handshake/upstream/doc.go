// Package upstream turns a conninfo string into connections to the primary.
//
//	conninfo ─► Parse ─► Config ─┬─ Connect ─► Session   logged in as ourselves: walreceiver, SQL
//	env, service, passfile       ├─ DialRaw ─► RawConn   no startup packet yet: a client logs in through it
//	                             └─ Cancel               a CancelRequest, byte for byte
//
// A conninfo names hosts; each host becomes one or two endpoints, as its sslmode allows (prefer: TLS,
// then plain). Endpoints are tried in order, the one the walreceiver streams from first.
//
// Invariants:
//
//  1. No error and no log value holds a password.
//  2. A keyword of libpq is honoured or refused by name; none travels to the server as a setting by
//     accident, and none is ignored.
//  3. A RawConn carries nothing of ours: no client certificate, password, ticket or OS identity beyond
//     the socket itself (ruling R1).
//  4. No SQL runs to find out a server's role: in_hot_standby, which the server reports by itself,
//     decides (a walsender cannot run SQL; ruling R29).
//  5. A Session's Reader owns everything that the server sent after the log-in; nothing is read ahead
//     by anybody else.
//
// A Config is safe for concurrent use. A Session belongs to one goroutine at a time, except that one
// may write to its Conn while another reads.
package upstream
