// Package replproxy is the root of a PostgreSQL replication proxy. One WAL stream comes in, any number of standbys are
// served, and a commit is durable where the operator said it must be.
//
//	clients ──► handshake ──► classify ──┬─ regular, logical ──► relay ◄──────────► primary
//	                                     │
//	standbys ◄── walsender, one each ◄───┴── walstore ◄── walreceiver ◄── primary (ONE stream)
//	     │ write, flush, apply                                   ▲
//	     └──► registry ──► slots, feedback ──────────────────────┘ written, flushed
//
// The rooms, each with its own story in its doc.go:
//
//   - grammar: the language of replication, pure values and parsers
//   - handshake: who a connection is, and how to reach the primary
//   - fanout: WAL in (walreceiver), kept (walstore), out (walsender), and who holds it (slot)
//   - cluster: what other proxies know
//   - proxy: the building: listeners, sessions, relay, configuration, HTTP
//   - cmd/replproxy: commands; cmd/replproxy/daemon: the switchboard, wiring only
//   - conformance: the inspector, tests against real PostgreSQL; nothing imports it
//
// This package holds no code, only the repository's own rules as a test.
package replproxy
