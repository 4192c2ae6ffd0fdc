// Package ask is how commands reach a proxy that runs: those that change something by the control socket in its
// data_dir, which only its user and root may use, the others by that or by its http port.
//
//	fence, forget, drop-rule, made-anew ──► Control ──► control.sock ──► daemon
//	tail, check ───────────────────────────┘
//	status, tail ─────────────────────────► HTTP ─────► http port ─────► daemon
//
// A question is one request with a bound on time and on the answer's size. What a proxy answers is read by its types;
// nothing is decided here.
package ask
