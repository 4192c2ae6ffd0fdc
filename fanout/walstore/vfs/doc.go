// Package vfs is the file system as a store of WAL sees it: few operations, each with the promise
// it makes about a crash.
//
//	 walstore, slots            tests
//	        │                     │
//	        ▼                     ▼
//	FS ── OS: the real one    Fault: any FS, with errors and stalls on chosen calls
//	                          Mem: in memory, can crash as a process or as a machine does
//
// Invariants every implementation keeps:
//
//  1. What [File.Sync] covered survives a power loss, provided that the file's name does.
//  2. A name that was created, renamed or removed survives a power loss once [FS.SyncDir] of its
//     directory returned; a rename is seen whole or not at all.
//  3. Written bytes are visible to every reader at once and survive the end of the process.
//
// Everything may be called concurrently, except writes to one range of one file.
package vfs
