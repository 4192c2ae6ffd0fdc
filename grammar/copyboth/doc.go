// Package copyboth has the messages between a walsender and a walreceiver inside CopyBoth: four messages, each the
// payload of one CopyData.
//
//	walsender → walreceiver        'w' XLogData      'k' PrimaryKeepalive
//	walreceiver → walsender        'r' StatusUpdate  'h' HotStandbyFeedback
//
// All integers are big-endian, times are microseconds since 2000-01-01 UTC. Encoders append to the
// caller's slice and allocate nothing; decoders borrow the input and keep no reference to it
// (XLogData.Data is the one exception: it aliases the input). Lengths are exact, as PostgreSQL's
// walreceiver wants them. Pure values, safe for concurrent use.
package copyboth
