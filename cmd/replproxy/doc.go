// Command replproxy is the switchboard: it reads what the operator said, plugs the rooms together and
// turns how they end into an exit code.
//
//	main ──► root (cobra) ──┬── run      serve.go, open.go: store → cluster → slots, hub → walreceiver → log-in →
//	                        │             doors → server; parts.go: what runs, in order
//	                        │             reload.go: the same again at SIGHUP
//	                        ├── check    preflight: one line per fact about the upstream
//	                        ├── status   the document of /status as tables
//	                        ├── wal-fetch  walfetch: one file out of a proxy's store
//	                        ├── fence, forget, drop-rule   control.go, remove.go: an operator tells a running proxy
//	                        ├── tail     who has which WAL, when the primary is dead; accept-timeline gives WAL up
//	                        ├── identity this proxy's line for cluster.members
//	                        ├── demo     a whole topology on this machine, and gone again
//	                        └── version
//
// There is no logic here beyond order: who is opened first is closed last. Exit codes are the
// contract: 0 clean stop, 1 failure while running, 2 unusable configuration or command line. (wal-fetch has a
// restore_command's: 0, 1, 255.)
package main
