// Package hostile attacks replproxy from both sides while real servers work through it.
//
//	         ┌── edits what it likes ──┐          ┌── a table of named cases: what is sent, what must come back
//	primary ─┤        forwarder        ├─► proxy ◄┤   crowds: half-open connections, floods, a byte a second
//	         └─────────────────────────┘     │    └── other ports: http, cluster, unix socket
//	                                         └──► 10 standbys, and pgbench as a relayed application
//
// A case of a client says what must come back: a SQLSTATE, silence, the end of the connection. Where PostgreSQL has an
// answer the same bytes go to the primary too, and its answer must be the same. What is judged in the end is what
// everybody else noticed: nothing is lost, no session is gone, the process is no larger than before.
//
// A case of an upstream goes over a real connection in which chosen messages are changed on their way. The proxy
// must say what is wrong, keep its store as it was, and go on when the primary is honest again.
//
// REPLPROXY_SOAK (a duration) prolongs the test that `make soak WHAT=hostile` names, which then also wants the
// standbys' and pgbench's throughput to be at least 0.9 of the undisturbed one.
package hostile
