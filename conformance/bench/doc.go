// Package bench measures replproxy and its alternatives in one run on one machine, round by round in turn. Machines are
// noisy, so what counts are ratios inside a run, never absolute figures across runs.
//
//	           ┌── direct                     CatchUp      old WAL to 1 … 64 receivers
//	           ├── a cascading standby        Live         WAL at a steady rate: lag, CPU
//	primary ───┼── HAProxy, PgBouncer         Sync         a commit that waits for sinks
//	           ├── replproxy                  Relay, Copy, Connections: what is passed on; Logins
//	           └── limits: plain writer, plain relay     Primary: the transactions that it has left
//	replproxy alone: TLS beside AES-GCM; Memory; Scale: 1 … 1000 standbys beside the plain writer
//
//	pgbench ──► primary ──► 3 standbys | ──► proxy ──► 3 | ──► 2 proxies ──► 3   Commit
//
//	pgbench ──► primary ──► proxy ──► 3 sinks that ack at once      Timeline: where its time and its CPU go
//
// An arena has one primary and its targets. While one is measured all others stand still (SIGSTOP), and the CPU time is
// that of whole trees of processes. Results are medians with the spread of the rounds, and the share of the machine
// that others had meanwhile.
//
// A receiver here is a client that streams and drops WAL, in the kernel where it can, so that the measured work is the
// sender's. Run it with `make bench`; the tables of a run are kept in docs/bench.md.
// BenchmarkTimeline follows single commits by the stamps of a proxy that is built with the tag stamps, and writes
// docs/performance.md itself.
package bench
