// Package roles knows who may log in when the proxy verifies clients itself (auth.method: scram). It keeps each role's
// verifier and attributes, from a file or from the primary, for the time when the primary is down.
//
//	Find ──► auth.users_file ── has the role ──► Found
//	  │            │ has not
//	  │            ▼
//	  └────► cache: asked within cache_ttl ─────► Found
//	               │ older, or unknown
//	               ▼
//	         Run: auth.query on an SQL connection of our own ──► learn ──► Found
//	               │ no answer, and the primary is down             │
//	               ▼                                                ▼
//	         cache: asked within cache_max_age ──► Found     data_dir/auth/roles
//	                                               (not Certain)
//
// Invariants:
//
//  1. What the primary said last holds for cache_ttl, and for cache_max_age while it is down or fenced; never longer,
//     restarts included. One that is busy, slow or refuses is not down: then nobody is let in (ruling R33).
//  2. A role that does not exist is remembered like one that does, so that asking twice tells nobody which it
//     is; of those a bounded number, in memory only.
//  3. The query gets the role's name as a bound parameter, on a connection whose settings are ours
//     (search_path above all), not a client's.
//  4. One connection, closed when no question waits, one question at a time, each bounded in time; a second one beside
//     it while the first says nothing. After a failure nobody waits for the next try.
//  5. A file that is damaged, or that others may read, is not used: the cache is then empty, and that is said.
//  6. No secret is in an error, a log line or a status.
//
// cache is the pure core, Lookup the shell around it.
package roles
