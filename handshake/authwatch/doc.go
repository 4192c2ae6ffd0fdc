// Package authwatch follows an authentication exchange that the proxy passes on, frame by frame,
// and says when it may not be passed on.
//
//	client ──p──► FromClient ──────────────► primary
//	client ◄───── FromUpstream ◄──R,v,E,S,K,Z── primary
//	                   │
//	                   └─ Ask … Authenticated … Ready, or a FATAL for the client
//
// The primary sees the proxy's address, not the client's. Whatever it grants to that address alone
// (trust, peer, ident, a certificate) was not granted to the client.
//
// Invariants:
//
//  1. AuthenticationOk is passed on only if this client answered a question of the primary before
//     it, or a rule says that the client is trusted (rulings R1, R34). Loopback is no exception: the
//     primary may have judged by ident or peer, and so judged the proxy.
//  2. A client that speaks in clear never sees a channel-binding mechanism. A TLS client, with TLS to the primary as
//     well, is refused in words before its binding fails in silence, unless both connections show one certificate
//     (ruling R25, facts A7).
//
// Pure but for one mutex: no I/O, no clock, no goroutine. Each direction may have its own goroutine.
package authwatch
