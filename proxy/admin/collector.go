package admin

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// collector makes the table a prometheus.Collector. Each scrape takes one snapshot.
type collector struct {
	status func() *Status
	descs  []*prometheus.Desc
}

func newCollector(status func() *Status) *collector {
	c := &collector{status: status}
	for _, m := range metrics {
		var labels []string
		if m.label != "" {
			labels = []string{m.label}
		}
		c.descs = append(c.descs, prometheus.NewDesc(m.name, m.help, labels, nil))
	}
	return c
}

// Describe describes the metrics, for prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect reads the metrics, for prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.status()
	for i, m := range metrics {
		m.read(s, func(label string, v float64) {
			var labels []string
			if m.label != "" {
				labels = []string{label}
			}
			ch <- prometheus.MustNewConstMetric(c.descs[i], m.kind, v, labels...)
		})
	}
}

// MetricsPage returns docs/metrics.md.
func MetricsPage() string {
	var b strings.Builder
	b.WriteString("# Metrics\n\nServed at `/metrics`. This page is generated from the table in " +
		"`proxy/admin/metrics.go`\n(`go test ./proxy/admin -update`). " +
		"Label values come from the lists below, never from clients.\n" +
		"The Go runtime's and the process's own metrics (`go_*`, `process_*`) are served beside them.\n" +
		"A scrape configuration is in [packaging/prometheus.yml](../packaging/prometheus.yml), alerts in " +
		"[packaging/alerts.yml](../packaging/alerts.yml), what to do in [runbook.md](runbook.md).\n\n" +
		"| Name | Type | Label | Meaning |\n|---|---|---|---|\n")
	for _, m := range metrics {
		kind, label := "gauge", ""
		if m.kind == counter {
			kind = "counter"
		}
		if m.label != "" {
			label = fmt.Sprintf("`%s`: %s", m.label, strings.Join(m.values, ", "))
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, kind, label, m.help)
	}
	return b.String()
}
