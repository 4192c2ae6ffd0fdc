// Package nudge wakes a goroutine that waits for something to change.
//
//	changes ──Wake──► one token ──receive──► look again
//
// A token says "look again", never how often or what for. Publish the change first, then wake; take the token first,
// then look: none is lost.
package nudge
