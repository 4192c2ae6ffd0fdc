// Package walstoretest makes WAL that PostgreSQL's own tools accept, for tests of whatever carries
// WAL: any major release, any segment size, any length of record.
//
//	g := walstoretest.New(walstoretest.Config{Major: 15, SegSize: 1 << 20})
//	g.Record(300)            a record with 300 bytes of data
//	g.Switch()               XLOG_SWITCH, zeros to the segment's end
//	g.Broken(2)              a record given up on the second page boundary, and its overwrite
//	g.ShutdownCheckpoint()   what a primary writes last
//	f := g.Fork(at, 2)       timeline 2, which leaves g's at a record end
//	g.Messages(from, rnd)    what a walsender would send
//
// What it makes is checked against pg_waldump in this package's tests. A Generator is for one
// goroutine; the slices it gives are its own memory and must not be changed.
package walstoretest
