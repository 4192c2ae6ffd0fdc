// Package bench measures replproxy against the alternatives in one run on one machine: a standby
// attached directly to the primary, and HAProxy for the relay. Machines are noisy, so what counts
// are ratios inside a run, never absolute figures across runs.
//
//	                ┌── direct ───────────────► 1, 16, 64 receivers
//	primary, WAL ───┤                                              time, CPU of the walsenders
//	                └── replproxy (1 stream) ─► 1, 16, 64 receivers
//
//	pgbench -S ──► primary | HAProxy in TCP mode | replproxy        transactions per second
//
//	pgbench ──► primary ──► 3 standbys | ──► proxy ──► 3 | ──► 2 proxies ──► 3     latency of a commit
//
//	pgbench ──► primary ──► proxy ──► 3 sinks that ack at once            where its time and its CPU go
//
// A receiver here is a client that streams and throws away, so that the measured work is the
// sender's. Run it with `make bench`; the tables of a run are kept in docs/bench.md.
// BenchmarkTimeline follows single commits by the stamps of a proxy that is built with the tag stamps, and writes
// docs/performance.md itself.
package bench
