// Package scramauth is SCRAM-SHA-256 on both sides of the proxy. It verifies a client by PostgreSQL's own verifier,
// and logs in upstream as that client with the key that the client's proof gave away.
//
//	client ──proof──► Server ──ClientKey──► Client ──proof──► primary
//	                    ▲                      │
//	   SCRAM-SHA-256$i:salt$StoredKey:ServerKey└─ checks the primary's signature by ServerKey
//
// A proof is ClientKey XOR HMAC(StoredKey, messages). Whoever knows StoredKey and sees a right proof knows ClientKey,
// and with it can make proofs of his own: no password is needed, and none is ever seen. A verifier and a proof
// together are therefore worth a password, and neither is ever logged.
//
// The exchange is ours and not a library's for three reasons: libraries throw ClientKey away, none takes one
// as a client, and their errors are not PostgreSQL's.
//
// Invariants:
//
//  1. A doomed exchange (unknown role, no verifier, expired) has the messages, sizes and computations of
//     one with a wrong password. Its salt is the same each time and its iteration count is a real one's.
//  2. Proofs and signatures are compared in constant time.
//  3. Nothing here derives a key from a password, so an iteration count costs nothing.
//  4. Errors towards clients are PostgreSQL's (auth-scram.c, auth-sasl.c); what a client sent is in them
//     one printable character at a time.
//  5. A Key shows itself to no formatter.
//
// Pure: no I/O, no clock; nonces are the caller's. Nothing here is safe for concurrent use.
package scramauth
