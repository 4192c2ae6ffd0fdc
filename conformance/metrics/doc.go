// Package metrics holds tests of the files that packaging/ has for Prometheus, with the real programs. promtool judges
// the names and the alerts. Prometheus scrapes a proxy under load, and answers each query of the dashboard.
package metrics
