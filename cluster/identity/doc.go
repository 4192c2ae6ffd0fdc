// Package identity holds a proxy's identity, as other proxies know it: a name and an Ed25519 key pair, as ssh hosts
// have (ruling R22).
//
//	data_dir/cluster/node.key ──► Node ──► self-signed certificate ──┐
//	                                                                 ▼ TLS 1.3, both sides
//	cluster.members: "proxy_b ed25519:…" ──► Members ──► is this key one that the name may use?
//
// Nothing is trusted but the configured public keys: no certificate authority, no host names, no
// dates. Whoever holds the gossip key but no member's private key gets no connection.
//
// Invariants:
//
//  1. A connection that was verified has exactly one member name, whose configured key signed it, and which the other
//     end says of itself.
//  2. The private key is created once, readable by its owner only, and never leaves this package.
//
// Values are immutable after their constructor and safe for concurrent use.
package identity
