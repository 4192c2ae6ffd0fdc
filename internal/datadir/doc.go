// Package datadir judges a data directory before anything in it is believed or written.
//
//	Prepare(dir) ── is missing ──► made, 0700
//	     │ is there
//	     ▼
//	ours, and empty ──► closed to others first, 0700; refused if somebody was quicker
//	     │
//	     ▼
//	Judge(dir) ──► owner and mode, as PostgreSQL judges its own (0700 or 0750)
//	     │
//	     ▼
//	everything below it: ours or root's, written to by nobody else, no symbolic link, nothing irregular
//
// The directory itself may be a symbolic link, as under systemd's DynamicUser. Below it none is followed for what is
// written: those that are there are refused here, and files are opened for writing with [NoFollow].
package datadir
