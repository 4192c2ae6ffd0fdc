// Package handshake reads the startup phase of a connection and says who is calling: an ordinary
// backend, a physical walsender, a logical walsender or a cancel request, by PostgreSQL's rules.
//
//	            ┌── TLS at once, or
//	            ├── SSLRequest ► 'S', TLS, or 'N'
//	accept ──►  │   (once each)          ├──► StartupMessage ──► Request{class, raw bytes, parameters}
//	            └── GSSENCRequest ► 'N' ─┘ ├► CancelRequest  ──► Request{Cancel, pid, key}
//	                                       ├► what PostgreSQL refuses ──► its ErrorResponse, *RefusedError
//	                                       └► bad length, EOF, timeout ──► nothing, an error
//
// [Core] decides, bytes in and decision out; [Accept] is the shell that owns the deadline and the
// socket. Invariants:
//
//  1. Exactly the packet's bytes are read. Whatever follows is still in the socket, so a relay may
//     hand the connection to the kernel, and nothing sent in clear survives the switch to TLS.
//  2. The packet is kept as it came: order, repetitions and minor version reach the server unchanged.
//  3. What PostgreSQL drops without a word is dropped without a word; what it refuses is refused
//     with its SQLSTATE and text.
//  4. At most MaxPacket bytes are held for a client that has not said who it is.
//
// Which certificate TLS has, and who must use it, is in handshake/clienttls.
// Authentication is not here: a relay passes it through, see proxy/relay.
package handshake
