// Package relay joins a client to the primary: the log-in message by message, everything after it
// as bytes that nobody looks at.
//
//	client ──startup bytes──────────────► primary
//	client ◄══ LogIn: frames, watched ══► primary     until ReadyForQuery or an error
//	client ──► copy ──► primary                       two directions, each until EOF
//	client ◄── copy ◄── primary                       read/write while small, splice in bulk
//
// Invariants:
//
//  1. The startup packet, and every byte after ReadyForQuery, arrives as it was sent, unless Options.Serve is set.
//  2. Until the primary has accepted the client, the client's bytes reach it only as answers to
//     questions that it asked (rulings R1 and R25 are judged by handshake/authwatch). A log-in that
//     is refused has therefore executed nothing.
//  3. What was read ahead during the log-in is passed on before the raw copy begins.
//  4. The end of one direction is passed on as an end of that direction. Run returns when both have
//     ended, or when either failed, and the upstream connection is closed then.
package relay
