package scene

import (
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// OnVolume returns a site whose proxy has a small volume.
func OnVolume(t *testing.T, in *pgtest.Install, size, config string, settings ...string) (*Site, *pgtest.Volume) {
	t.Helper()
	v := in.NewVolume(t, size)
	s := NewSiteWith(t, in, pgtest.ProxyOptions{DataDir: v.DataDir(), Config: config},
		pgtest.InitArgs("--wal-segsize=1"),
		pgtest.Settings(append([]string{"wal_keep_size = 2GB", "max_wal_size = 2GB"}, settings...)...))
	return s, v
}

// Metric returns the value of one line of /metrics.
func Metric(t *testing.T, proxy *pgtest.Proxy, name string) string {
	t.Helper()
	_, body, err := proxy.Get(t.Context(), "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

func Warned(t *testing.T, proxy *pgtest.Proxy, text string) {
	t.Helper()
	for _, w := range Status(t, proxy).Warnings {
		if strings.Contains(w, text) {
			return
		}
	}
	t.Errorf("no warning says %q: %q", text, Status(t, proxy).Warnings)
}
