// Package admin shows a proxy to people, load balancers and Prometheus: health, readiness, metrics, a status document
// and a page that draws it.
//
//	hub, store, walreceiver, sessions
//	        │ Source.Status(): one snapshot, made by cmd
//	        ▼
//	     Status ──┬── /status    JSON, described in docs/status.md
//	              ├── /metrics   a table of functions of Status, described in docs/metrics.md
//	              ├── /readyz    200 or 503 with the reason in words
//	              └── /          the same document, drawn every second
//
// Nothing here knows the parts it reports on: Status is plain data, so a test can make one, and the
// page, the metrics and "replproxy status" cannot disagree.
//
// Invariants:
//
//  1. A request reads one snapshot and changes nothing; only GET and HEAD are served.
//  2. Label values of metrics come from fixed lists, never from clients.
//  3. Every connection has a deadline and a size limit, and their number is bounded.
//  4. What clients chose, such as application_name, reaches the page as text, never as markup.
package admin
