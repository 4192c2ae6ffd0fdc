// Package puller decides from whom this proxy streams WAL when upstream.via is cluster. One member pulls from the
// primary and the others stream from it, so a whole cluster costs the primary one walsender.
//
//	    primary
//	       ║  one walsender
//	    proxy_b ─── "I pull" ───► proxy_a, proxy_c        (over the links, when it changes)
//	   ║        ║
//	proxy_a   proxy_c        WAL over the cluster's port: mutual TLS, no log-in at the primary
//
// There is no vote and no lease: each member decides for itself by what it sees. Two that pull at once cost the
// primary a second walsender for a moment, and nothing else. None that pulls would cost WAL. So a member that sees
// nobody pull, or can't stream from the one that does, goes to the primary itself. The order is that of a rendezvous
// hash, so that they do not all go at once.
//
// Invariants:
//
//  1. A member follows only one that says it pulls, and leaves one that has stopped saying so.
//  2. Who pulls goes on pulling: a member that comes or comes back takes nothing over.
//  3. Of several that pull the one with the highest rank goes on, the others follow it if they can.
//  4. One whose disk takes nothing, or whose stream is dead, goes on pulling until another one does, and then leaves
//     the primary to it. So does one that for a while may report less than another one.
//  5. A member that can reach the primary, or one that pulls, streams within a bounded time (core_test.go).
//
// [Core] is pure. [Puller] is the shell around it: it tells the others, dials them, and wakes the walreceiver.
package puller
