// Package ask reaches a proxy that runs, on behalf of a command. Commands that change something go by the control
// socket in its data_dir, which only its user and root may use. The others go by that socket or by its http port.
//
//	fence, forget, drop-rule, made-anew ──► Control ──► control.sock ──► daemon
//	tail, check ───────────────────────────┘
//	status, tail ─────────────────────────► HTTP ─────► http port ─────► daemon
//
// A question is one request with a bound on time and on the answer's size. What a proxy answers is read by its types;
// nothing is decided here.
package ask
