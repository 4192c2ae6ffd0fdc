// Package report makes the document of /status, and every warning in it, out of what the parts of a proxy say of
// themselves.
//
//	daemon: asks every part ──► Snapshot ──► Status ──► admin.Status ──► /status, /metrics, console, replproxy status
//	                                           └── …Warnings
//
// It is pure: a snapshot comes in, with the time, and a document goes out. It reads the types of all rooms and runs
// none of them, which is why it may import cluster although it lies below proxy. A file is about one part: what its
// rows are, and what an operator has to be told about it. A warning is made by a function named …Warnings, in which a
// test looks for what docs/runbook.md has to have.
package report
