package quorum

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// TestVerdict: who looks first reads what hangs, for want of whom, and what to do: all is well, a voter is away, commits
// wait for two, the primary is dead. The third of the worst moments, a full disk, is in conformance/crash.
func TestVerdict(t *testing.T) {
	t.Parallel()
	s := newQuorumSite(t, pgtest.Usual(t), "ANY 2 (s1, s2, s3)", 3)
	s.Begin(t, "on").Released(t)
	scene.WaitVerdict(t, s.Proxy, "OK SPAN: ANY 2 (s1, s2, s3) has s1, s2 and s3; 3 standbys are attached, none is behind "+
		"→ read 1 warning about how it is set up")

	s.Standbys[2].Stop(t, pgtest.Fast)
	scene.WaitVerdict(t, s.Proxy, "DEGRADED SPAN: s3 is away since CLOCK; ANY 2 (s1, s2, s3) has s1 and s2; "+
		"commits wait once 1 more is lost → start standby s3")
	s.Standbys[1].Stop(t, pgtest.Fast)
	c := s.Begin(t, "on")
	const waits = "COMMITS WAIT SPAN: ANY 2 (s1, s2, s3) has s1; s2 is away since CLOCK, s3 is away since CLOCK " +
		"→ start standby s2, or standby s3"
	scene.WaitVerdict(t, s.Proxy, waits)
	if first := s.Proxy.SQL(t, "SHOW STATUS", "dbname=replproxy")[0]; first[0] != "verdict.text" || !strings.HasPrefix(first[1], "COMMITS WAIT ") {
		t.Errorf("the console begins with %q", first)
	}
	if got := scene.Metric(t, s.Proxy, `replproxy_verdict_state{verdict="commits wait"}`); got != "1" {
		t.Errorf("the metric of its state is %q", got)
	}
	pgtest.WaitFor(t, time.Minute, "the log to have it", func() (bool, error) {
		return strings.Contains(s.Proxy.Log(), `state="commits wait"`), nil
	})
	if code, _, err := s.Proxy.Get(t.Context(), "/readyz"); err != nil || code != 200 {
		t.Errorf("with ready_when: stream: %d, %v", code, err)
	}
	scene.Reload(t, s.Proxy, scene.RuleFile("ANY 2 (s1, s2, s3)")+"ready_when: rule\n")
	if code, body, err := s.Proxy.Get(t.Context(), "/readyz"); err != nil || code != 503 || !strings.Contains(string(body), "\nnot ready: commits wait: ANY 2") {
		t.Errorf("with ready_when: rule: %d %s, %v", code, body, err)
	}
	s.Standbys[1].Start(t)
	c.Released(t)

	s.Primary.Kill9(t)
	scene.WaitVerdict(t, s.Proxy, fmt.Sprintf("STOPPED SPAN: the primary, 127.0.0.1:%d, does not answer: connection refused "+
		"→ start it; if it is gone for good, promote by docs/failover.md", s.Primary.Port))
}
