// Package daemon is the proxy that "replproxy run" starts: it plugs the rooms together, runs them and ends them in
// order.
//
//	New ──► Run ──► serve (daemon.go): open.go, store → cluster → slots, hub → walreceiver
//	                 │                 openclients.go, log-in → listeners → server
//	                 │                 parts.go, what runs, in order; stages.go, how it is started and ended
//	                 ├── reload.go     the same again at SIGHUP
//	                 ├── control.go    what an operator tells it
//	                 └── view.go       what it says of itself
//
// The rooms declare what they need of each other as interfaces and functions; here are the adapters. Constructors start
// nothing. Who is opened first is closed last, and who is started first ends last.
package daemon
