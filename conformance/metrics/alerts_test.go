package metrics

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

const packaging = "../../packaging"

// promtool runs promtool in packaging/ and returns what it said.
func promtool(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), pgtest.Prometheus(t, "promtool"), args...)
	cmd.Dir, cmd.Stdin = packaging, strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestAlertRules: promtool takes the rules and the scrape configuration, and each rule fires where its test says.
func TestAlertRules(t *testing.T) {
	for _, args := range [][]string{
		{"check", "config", "--syntax-only", "prometheus.yml"}, {"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"},
	} {
		if out, err := promtool(t, "", args...); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestEachAlertIsTried: the test of each rule wants it to fire once, for proxy_a.
func TestEachAlertIsTried(t *testing.T) {
	rules := regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(read(t, "alerts.yml"), -1)
	tries := read(t, "alerts_test.yml")
	for _, r := range rules {
		_, try, found := strings.Cut(tries, "  - name: "+r[1]+"\n")
		try, _, _ = strings.Cut(try, "  - name: ")
		if !found || !strings.Contains(try, "alertname: "+r[1]+"\n") || strings.Count(try, `exp_labels: {`) != 1 ||
			!strings.Contains(try, `instance="proxy_b:6580"`) {
			t.Errorf("alerts_test.yml does not try %s", r[1])
		}
	}
	if len(rules) < 30 {
		t.Errorf("%d rules: the search is broken", len(rules))
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(packaging, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
