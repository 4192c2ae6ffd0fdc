// Package preflight looks at an upstream before a proxy stands in front of it, and says what would go wrong, with the
// remedy.
//
//	upstream ──Gather──► Facts ──Judge──► []Check   "replproxy check": one line each
//	 (two connections)     │
//	                       └────Advise──► []string  "replproxy run": warnings, also in /status
//
// Gather asks and never changes anything. It uses two connections: one as a walsender, as the proxy will, and one for
// SQL, which is only for more detail and may be refused. Judge and Advise are pure.
//
// Invariants:
//
// 1. A fact that could not be asked is unknown, and its check says so: unknown is never ok.
// 2. Every warn and fail has a remedy.
// 3. Nothing is written on the server, and no password is printed.
package preflight
