// Package descriptors keeps the process alive when file descriptors run short, as PostgreSQL does with max_safe_fds.
//
//	0 ─────────────────────────────── limit - reserve ───────────── limit
//	  clients and what they need        │   the store, the walreceiver, members
//
// The kernel gives the lowest number that is free. So a new connection's number tells, without a count, how many
// are in use at least, and whoever has not logged in makes room once the reserve begins. What is short all the
// same is waited for: [IsShort] names the errors, [Patient] is for servers that would end with their listener.
package descriptors
