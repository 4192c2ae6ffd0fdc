// Package slots tests replication slots and the WAL that they hold, against real servers.
//
//	standby's primary_slot_name ──► slot of the proxy ──► (adopted from, mirrored to) the primary's
//
// Slots of one proxy and of a cluster, the proxy's own one on the primary, WAL that is older than the store, and
// hot_standby_feedback, which slots keep.
package slots
