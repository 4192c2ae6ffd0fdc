// Package loss keeps in mind which WAL was given up, and which standbys may still have it.
//
// A primary came back with WAL of its own timeline up to From only, and the operator has accepted that. It has written
// other WAL since, at the same positions. A standby whose WAL ended between From and To, where the lost WAL ended, has
// bytes that no other server has. WAL that it flushes after them is no copy, so its votes do not count (ruling R32).
// Timeline and positions do not tell such a standby from others. It is recognized once, by the first position that it
// reports after the acceptance and before it gets any WAL:
//
//	          From                      To
//	───────────┤─────────────────────────┤──────────────►
//	 never had │ may have the lost WAL:  │ made anew, from a base backup of
//	 lost WAL  │ it gets nothing         │ the WAL that was written since
//
// PostgreSQL says no more of a standby than that. One that was made anew while the primary had not passed To yet has
// to be named by the operator.
//
// Everything here is a value: methods return changed copies. What members say of a loss is merged, and knowing more
// about a name never takes back that it was made anew.
package loss
