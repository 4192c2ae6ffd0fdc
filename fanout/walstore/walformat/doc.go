// Package walformat reads PostgreSQL's WAL: page headers and records, never their meaning.
//
//	segment ┬ page ┬ long header (40 bytes: system, segment size, page size)
//	        │      └ record · record · first part of a record ─┐
//	        ├ page ┬ short header (24 bytes), rem_len ◄────────┘
//	        │      └ rest of that record · record · …
//	        └ …      zeros to the segment's end after an XLOG_SWITCH
//
// [ParseHeader] and [Checker] answer "do these bytes belong to this system, timeline and
// position?", [Walker] answers "where does valid WAL end?" by xl_prev links and CRC-32C, as
// PostgreSQL's recovery does.
//
// Invariants:
//
//  1. Nothing here allocates in proportion to a length that was read.
//  2. Whatever the input, decoding ends: every step moves forward by at least eight bytes.
//  3. WAL is little-endian here; a big-endian server fails at the first magic number.
//
// Sources: facts H2 (headers, records, overwritten records), H3 (page timelines). Pure values, no
// I/O besides the caller's page source; one goroutine per Checker or Walker.
package walformat
