// Package events lists the events since the start, for operators who come when it is over. Standbys attach and leave,
// the stream ends and comes from elsewhere. Timelines, rules, slots, members and the verdict change.
//
//	document before, document now ──► Between ──► the newest first ──► admin.Status.Events
//
// It is pure: two documents come in, and events go out. What came and went between two looks, a second apart, is no
// event.
//
// Invariant: the list has Most events at most.
package events
