// Package clienttls is TLS towards clients: the certificate that the proxy shows, and which clients
// have to use TLS or show a certificate of their own.
//
//	files ──load──► tls.Config ──► handshake.Accept      at each TLS connection: have they changed?
//	tls.mode, clientcert, clientname ──► Admit ──► nil, or PostgreSQL's refusal
//
// Invariants:
//
//  1. Files that cannot be used never take the place of ones that could: the certificate before stays
//     in use, and the log and Status say so. Sessions that are there keep what they began with.
//  2. A private key that others may read is refused, by PostgreSQL's rule for ssl_key_file.
//  3. TLS 1.2 or newer with Go's choice of ciphers. No tickets, no resumption, no renegotiation: each
//     session proves its certificate by itself, under the settings of its own beginning.
//  4. A client certificate that was shown and does not verify ends the handshake, required or not. One
//     that verifies proves nothing to the primary: ruling R1 holds as it does in clear.
//
// Only connection requests are judged. A cancel request needs no TLS, as libpq before 17 sends it in
// clear, and a unix socket has none.
package clienttls
