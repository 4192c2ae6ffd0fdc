package admin

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/replproxy/replproxy/internal/histogram"
)

// collector makes the table a prometheus.Collector. Each scrape takes one snapshot.
type collector struct {
	status func() *Status
	build  *prometheus.Desc
	descs  []*prometheus.Desc // of metrics, then of timings
}

func newCollector(status func() *Status) *collector {
	c := &collector{status: status, build: build()}
	for _, m := range metrics {
		c.descs = append(c.descs, prometheus.NewDesc(m.name, m.help, labelsOf(m.label, m.label), nil))
	}
	for _, m := range timings {
		c.descs = append(c.descs, prometheus.NewDesc(m.name, m.help, labelsOf(m.label, m.label), nil))
	}
	return c
}

// Describe describes the metrics, for prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.build
	for _, d := range c.descs {
		ch <- d
	}
}

// labelsOf returns a list of one value, or of none for a metric without a label.
func labelsOf(label, value string) []string {
	if label == "" {
		return nil
	}
	return []string{value}
}

// Collect reads the metrics, for prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.status()
	ch <- buildInfo(c.build, s)
	for i, m := range metrics {
		m.read(s, func(label string, v float64) {
			ch <- prometheus.MustNewConstMetric(c.descs[i], m.kind, v, labelsOf(m.label, label)...)
		})
	}
	for i, m := range timings {
		m.read(s.tallies(), func(label string, h *histogram.Snapshot) {
			by, n := h.Cumulative()
			ch <- prometheus.MustNewConstHistogram(c.descs[len(metrics)+i], n, h.Sum.Seconds(), by,
				labelsOf(m.label, label)...)
		})
	}
}

// MetricsPage returns docs/metrics.md.
func MetricsPage() string {
	var b strings.Builder
	b.WriteString("# Metrics\n\nServed at `/metrics`. This page is generated from the table in " +
		"`proxy/admin/metrics.go`\n(`go test ./proxy/admin -update`). " +
		"Label values come from the lists below, never from clients. A standby or a slot has a label of its own\n" +
		"when a rule has its name, or a slot that is not temporary. The others share `other`, which shows the worst " +
		"of them.\n" +
		"The Go runtime's and the process's own metrics (`go_*`, `process_*`) are served beside them.\n" +
		"A scrape configuration is in [packaging/prometheus.yml](../packaging/prometheus.yml), alerts in " +
		"[packaging/alerts.yml](../packaging/alerts.yml), a dashboard in " +
		"[packaging/grafana.json](../packaging/grafana.json), what to do in [runbook.md](runbook.md).\n\n" +
		"| Name | Type | Label | Meaning |\n|---|---|---|---|\n")
	row := func(name, kind, label string, values []string, help string) {
		if label != "" {
			label = fmt.Sprintf("`%s`: %s", label, strings.Join(values, ", "))
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, kind, label, help)
	}
	b.WriteString("| `replproxy_build_info` | gauge | `version`, `commit`, `go` | " + buildHelp + " |\n")
	for _, m := range metrics {
		kind := "gauge"
		if m.kind == counter {
			kind = "counter"
		}
		row(m.name, kind, m.label, m.values, m.help)
	}
	for _, m := range timings {
		row(m.name, "histogram", m.label, m.values, m.help)
	}
	return b.String()
}
