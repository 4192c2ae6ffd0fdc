// Package pgtest runs real PostgreSQL for tests: primaries, standbys and replproxy itself.
//
//	Need(t, 15) ── Install ──► Primary(t, options…) ── Server ──► Standby(t, options…) ── Server
//	                  │              │  copy of a cached initdb, own system identifier
//	                  │              └► SQL, CurrentLSN, Stop, Kill9, Restart, Promote, Log
//	                  └► Tool(t, "pg_basebackup", …)      Debian's client programs
//	StartProxy(t, ProxyOptions{Upstream: primary.Conninfo()}) ── Proxy (a real process)
//	PreviousRelease(t) ── binary of the release before ──► ProxyOptions{Binary}, Proxy.Become
//	NewNetwork(t).Host(t, "s1") ── Host ──► On(host), ProxyOptions{Host: host}: cut off, direction by direction
//
// Everything lives below one short temporary directory per test process and ends with the test that
// started it. PostgreSQL refuses to run as root, so a test process of root starts everything as the
// user postgres (or nobody); an unprivileged test process starts it as itself.
//
// Invariants:
//
//  1. Nothing is installed here and nothing is skipped: without a server Need fails and names
//     .ci/setup, which installs it.
//  2. Every server has its own system identifier, although all are copies of one initdb per version.
//  3. A server keeps its port from its start to the end of its test, through Stop, Kill9 and Restart:
//     a standby can be pointed at it before it runs. No two test processes are given one port.
//  4. A process started here does not outlive the test process, however that ends.
//  5. When a test fails, the end of each of its servers' logs is in the test's output.
//
// Methods that take a testing.TB fail that test at once; they belong on the test's own goroutine.
// Server and Proxy may be read and queried from several goroutines, but Stop, Kill9, Restart and
// Promote are for one at a time.
package pgtest
