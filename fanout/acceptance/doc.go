// Package acceptance decides what an operator's word about lacking WAL says (rulings R3, R32, R48).
//
//	accept-timeline ──► Say ──► accept-timeline ──► Covers ──► the server is followed ──► Use: the WAL is given up
//	                     ▲ lacking-timeline: what is refused now       │
//	                                            Void: it was about something else
//
// A word is a line of a file in data_dir. Who reads and writes the files, and when, is not known here: words come in,
// words and answers go out. It is pure.
package acceptance
