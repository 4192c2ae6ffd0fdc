// Package datum has the values of the console's tables: types of PostgreSQL by their OIDs, and each value's text form
// and binary form on the wire.
//
//	"0/3000060" ── Parse(LSN) ──► lsn.LSN ──┬─ Format ──► "0/3000060"
//	                                        └─ AppendBinary ──► 8 bytes
//
// A nil Value is NULL. What a type takes in PostgreSQL and this package does not is refused as 0A000; what PostgreSQL
// refuses is refused with its words. It is never taken to be something else.
//
// Invariant: Format and AppendBinary give what PostgreSQL 14 to 18 give, with DateStyle ISO, IntervalStyle postgres and
// extra_float_digits of at least 1. Text sorts by its bytes, as in a database with the collation C.
package datum
