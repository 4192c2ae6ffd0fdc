package scene

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

var (
	verdictSpan  = regexp.MustCompile(`\b(?:\d+[smhd])+\b`)
	verdictClock = regexp.MustCompile(`\b\d\d:\d\d\b`)
)

// verdictWords returns a verdict's words with SPAN for durations and CLOCK for times of day.
func verdictWords(text string) string {
	return verdictClock.ReplaceAllString(verdictSpan.ReplaceAllString(strings.TrimSpace(text), "SPAN"), "CLOCK")
}

// WaitVerdict waits until the verdict on a proxy has these words, which have SPAN for durations and CLOCK for times of
// day. The first line of the command, of /readyz and of the log's last change are the same then.
func WaitVerdict(t *testing.T, p *pgtest.Proxy, want string) {
	t.Helper()
	got := ""
	defer func() {
		if t.Failed() {
			t.Logf("the verdict is %s", got)
		}
	}()
	pgtest.WaitFor(t, time.Minute, "the verdict: "+want, func() (bool, error) {
		got = verdictWords(Status(t, p).Verdict.Text)
		return got == want, nil
	})
	command, _, _ := strings.Cut(p.Program(t, "status", "--http", fmt.Sprintf("127.0.0.1:%d", p.HTTPPort)), "\n")
	_, body, err := p.Get(t.Context(), "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	probe, _, _ := strings.Cut(string(body), "\n")
	for who, line := range map[string]string{"the command": command, "/readyz": probe} {
		if verdictWords(line) != want {
			t.Errorf("%s begins with %q", who, line)
		}
	}
}
