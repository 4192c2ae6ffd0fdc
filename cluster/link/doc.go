// Package link carries a proxy's knowledge of itself to every other proxy: directly, the newest only, and over
// connections on which both sides have proved their names.
//
//	this proxy                                              another proxy
//	Put/Delete ──► Outbox ──┬── sender ══ TLS, ALPN link ══► Listener ── receiver ──► Sink
//	   latest per item      └── sender ══► a third proxy                │ registry: one live holder of a name
//	                              ▲                                     ▼
//	              who is up: Directory (gossip)          what the peer says of itself, never of others
//
// A stream goes one way: each proxy dials each other one and sends its own items; the acceptor answers
// with heartbeats only. Gossip is too slow for a commit that waits (it took 100 ms, and not always that).
//
// On the wire a frame is a length of four bytes, a type and a body:
//
//	H hello: version, run    B snapshot begins   I item: kind, id, payload   D item deleted
//	K heartbeat              E snapshot ends: what was not in it is gone
//
// A link speaks the highest message version that both ends do (version.go, ruling R39).
//
// Invariants:
//
//  1. Put never waits: an item has one place, and a slow peer finds the newest in it.
//  2. What a Sink is told of a peer came from the holder of that peer's key (ruling R22).
//  3. Two live holders of one name: neither is heard (ruling R22), until one is gone for conflictHold.
//  4. After a snapshot a receiver has exactly the sender's items; one is sent on each connection and
//     every resyncInterval.
//
// Everything is bounded: items, payloads, frames, handshakes in progress, silence.
package link
