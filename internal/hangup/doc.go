// Package hangup notices that a client leaves while it is made to wait, without reading from its connection.
//
//	                  bytes unread ───► Ended    (it may have said its last and wait for the answer)
//	FIN of the peer ─┤
//	                  nothing unread ─► Closed   (it left, as nearly all that do so; a few only half)
//	RST, or both sides closed ────────► Gone
//
// A socket cannot tell a peer that closed from one that ended its side and still reads, before it is written to. So
// Closed is a reason to leave a queue, and none to break off what is already under way.
//
// Nothing is consumed, so that whoever reads next finds every byte. Under TLS the closing alert is no byte that
// somebody waits to have answered. Elsewhere than on Linux nothing is noticed: a client that left is found when
// it is written to. [EndSide] is for the other direction: it ends our side.
package hangup
