// Package proxy is the building: it accepts connections, asks handshake who they are, and sends each
// to the room that serves it.
//
//	listeners ──► serve ──► handshake ──► route ──┬─ regular, logical ──► relay ───► primary
//	                 │                            ├─ physical ─────────► PhysicalHandler
//	                 └─ sessions, limits, log     └─ cancel ───────────► the server that gave the key
//
// A [Server] owns its listeners from Run on and every connection it accepts. Invariants:
//
//  1. A client that is not served is told why, with PostgreSQL's SQLSTATE, or was silent itself.
//  2. Nobody waits without a bound: startup, turn, dial, the client's answers, cancel and drain each have a named
//     one. How long the primary takes to begin a session is its own affair; how many wait for that is bounded, and
//     who has gone does not wait.
//  3. One session's panic, slowness or malice ends that session only.
//  4. Run returns when every goroutine that it started has ended (drain.go numbers the steps).
package proxy
