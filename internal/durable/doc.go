// Package durable writes small files so that a crash leaves the old one or the new one, never half of one and never
// none. Such files have promises, the rule in force, and the node's identity.
//
//	WriteFile ──► NAME.tmp: create, write, fsync ──► rename to NAME ──► fsync of the directory
//
// Invariants:
//
//  1. After a return without error the new content survives a power loss.
//  2. After an error before the rename the old file is untouched and NAME.tmp is gone, so that a disk that was full
//     does not stay full of it. An error of the last step leaves either of them after a power loss.
//  3. No symbolic link is followed for the file that is written. A file that somebody else has left under NAME.tmp is
//     not written to: it is removed first, and if one is there all the same, that is an error.
//  4. Files are readable by their owner only (0600), directories as well (0700).
//
// Errors wrap the operating system's, with the name of the file: [syscall.ENOSPC], [syscall.EDQUOT], [syscall.EMFILE].
// The file system is an interface, so that walstore's models can crash in each step; [OS] is the real one.
package durable
