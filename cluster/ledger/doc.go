// Package ledger holds the knowledge of one member of the cluster and draws the conclusions: who may vote, where each
// voter is, and which position every rule in use covers.
//
//	own standbys and store: Attach, Ack, End ──► State, Report to the others
//	                              │
//	others: Merge(State), Report ─┤
//	                              ▼
//	        sessions ──► one voter per standby (R6) ──► every rule in use ──► Evaluation
//
// It is pure: events and the time come in, values go out. The shell brings them in any order, late, twice or never;
// what is missing can only lower the positions (with FIRST: hold them, ruling R5).
//
// Invariants:
//
//  1. A position is covered only if every rule in use covers it. Those are this node's rule, those of live members,
//     and those of silent members that this node's does not supersede (ruling R9).
//  2. One standby is one voter, whatever sessions it has left behind (ruling R6).
//  3. A vote is at most what its session was sent and its node has received.
//  4. Nothing is covered before rules were compared with a member, nor by a fenced node. Nothing is covered for
//     another system, timeline or history, nor by a name that two nodes hold.
//  5. Covered positions are counted again before they leave; a mismatch is counted and gives nothing.
//
// Not safe for concurrent use; nothing blocks. One evaluation costs about a microsecond per session;
// a report that cannot raise what is covered needs none, see [Ledger.Unmoved].
package ledger
