// Package lsn holds the numbers of PostgreSQL replication: positions in WAL, segments,
// timelines and their histories, the identity of a system, and names of WAL by its hash.
//
//	          segment 0/3000000 (16 MB)            segment 0/4000000
//	─────────┬──────┬──────┬─ … ─┬──────┬─────────┬──────┬──────
//	         │ page │ page │     │ page │         │ page │
//	─────────┴──────┴──────┴─ … ─┴──────┴─────────┴──────┴──────
//	         ▲ 8 KiB each                          ▲ LSN = segno × size
//
// Everything here is a value: no I/O, no clock, safe for concurrent use. Spelling follows
// PostgreSQL (%X/%X, %08X file names), reading is strict: trailing junk and overflow are errors.
package lsn
