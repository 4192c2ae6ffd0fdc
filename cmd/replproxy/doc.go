// Command replproxy has a file for each command. A command reads what the operator said, has it done elsewhere and
// turns how that ends into text and an exit code.
//
//	main ──► root (cobra) ──┬── run      signals; daemon: the proxy itself
//	                        ├── check    preflight: one line per fact about the upstream
//	                        ├── status   the document of /status as tables
//	                        ├── wal-fetch  walfetch: one file out of a proxy's store
//	                        ├── fence, forget, drop-rule, made-anew   ask: an operator tells a running proxy
//	                        ├── tail     who has which WAL, when the primary is dead; accept-timeline gives WAL up
//	                        ├── identity this proxy's line for cluster.members
//	                        ├── reference the commented configuration
//	                        ├── demo     a whole topology on this machine, and gone again
//	                        └── version
//
// Nothing about replication is decided here. Exit codes are the contract: 0 clean stop, 1 failure while running, 2
// unusable configuration or command line. (wal-fetch has a restore_command's: 0, 1, 255.)
package main
