package quorum

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/proxy/admin"
)

// check runs "replproxy check" beside the proxy of a site, and returns what it prints and whether it passes.
func check(t *testing.T, s *scene.QuorumSite) (out string, passed bool) {
	t.Helper()
	b, err := exec.Command(pgtest.Binary(t), "check", "--upstream", s.Primary.Conninfo(), "--name", "proxy", "--data-dir",
		s.Proxy.DataDir).CombinedOutput()
	return string(b), err == nil
}

// TestLaxerRuleAtOnce: one of two voters is away, and commits hang. check says so, in the words of status. A laxer rule
// is in force once it is reloaded: the hanging commit returns, and nobody touches the primary.
func TestLaxerRuleAtOnce(t *testing.T) {
	t.Parallel()
	s := newQuorumSite(t, pgtest.Usual(t), "ANY 2 (s1, s2)", 2)
	s.Begin(t, "on").Released(t)
	s.Standbys[1].Stop(t, pgtest.Fast)
	c := s.Begin(t, "on")
	s.Held(t, c, flushOf, "s1")
	started := s.Primary.Scalar(t, "SELECT pg_conf_load_time()::text")

	s.WaitWarning(t, admin.CommitsWait+"ANY 2 (s1, s2) has 1 candidate")
	var warning string
	for _, w := range scene.Status(t, s.Proxy).Warnings {
		if strings.HasPrefix(w, admin.CommitsWait) {
			warning = w
		}
	}
	if out, passed := check(t, s); passed || !strings.Contains(out, "fail  commits                    "+warning) {
		t.Errorf("check passes %t, and status says %q:\n%s", passed, warning, out)
	}

	if now := scene.Reload(t, s.Proxy, scene.RuleFile("ANY 1 (s1, s2)")); now.LastError != "" || len(now.Pending) > 0 {
		t.Errorf("reload: %+v", now)
	}
	c.Released(t)
	if now := s.Primary.Scalar(t, "SELECT pg_conf_load_time()::text"); now != started {
		t.Error("the primary was told to reload")
	}
	s.Begin(t, "on").Released(t)
	if out, _ := check(t, s); strings.Contains(out, "fail  commits") {
		t.Errorf("no commit waits, and check says:\n%s", out)
	}
}

// TestCheckTellsWhoStandsStill: a voter is attached and flushes nothing, so that commits hang under a rule that is
// satisfied by the look of it. check says so, and for whom they wait.
func TestCheckTellsWhoStandsStill(t *testing.T) {
	t.Parallel()
	s := newQuorumSite(t, pgtest.Usual(t), "ANY 1 (s1)", 1)
	s.Primary.Set(t, "wal_sender_timeout = 0") // the proxy's own sessions have it, too: nobody is taken for dead
	s.Primary.Reload()
	s.Begin(t, "on").Released(t)
	scene.Pause(t, s.Standbys[0])
	c := s.Begin(t, "on")
	s.Held(t, c, flushOf)
	pgtest.WaitFor(t, 2*time.Minute, "check to say that commits wait", func() (bool, error) {
		out, passed := check(t, s)
		return !passed && strings.Contains(out, "fail  commits  ") && strings.Contains(out, "s1 is "), nil
	})
}
