package quorum

import (
	"bytes"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/proxy/admin"
)

// proxies starts a cluster of proxies in front of a primary, each with the same rule.
func proxies(t *testing.T, in *pgtest.Install, primary *pgtest.Server, rule string, names ...string) []*pgtest.Proxy {
	t.Helper()
	return scene.ClusterOf(t, primary.Conninfo(), scene.RuleFile(rule), names...)
}

func voterOver(name, node string) func(admin.QuorumVoter) bool {
	return func(v admin.QuorumVoter) bool { return v.Name == name && v.Node == node && v.Standing == admin.Counts }
}

// One quorum over standbys behind two proxies: the primary takes either proxy's word, and each counts the standbys of
// both. A proxy alone does not report what only the other's standby could make true.
func TestTwoProxiesOneQuorum(t *testing.T) {
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	all := proxies(t, in, primary, "ANY 2 (s1, s2, s3)", "a", "b")
	s := &scene.QuorumSite{Site: &scene.Site{In: in, Primary: primary, Proxy: all[0]}}
	s1 := scene.StandbyOf(t, primary, all[0], "s1", "")
	s2 := scene.StandbyOf(t, primary, all[1], "s2", "")
	primary.Set(t, "synchronous_standby_names = 'ANY 1 (a, b)'")
	primary.Reload()
	scene.WaitSatisfiable(t, all...)
	for _, level := range []string{"remote_write", "on", "remote_apply"} {
		s.Begin(t, level).Released(t)
	}
	s2.Exec(t, "SELECT pg_wal_replay_pause()")
	c := s.Begin(t, "remote_apply")
	s.Held(t, c, applyOf, "s1")
	s2.Exec(t, "SELECT pg_wal_replay_resume()")
	c.Released(t)

	// b dies, and with it the way to s2.
	all[1].Kill9(t)
	c = s.Begin(t, "on")
	s.Held(t, c, flushOf, "s1")
	all[1].Start(t)
	c.Released(t)
	pgtest.WaitFor(t, time.Minute, "a to count s2 over b, whose WAL it has compared", func() (bool, error) {
		return slices.ContainsFunc(scene.Status(t, all[0]).Quorum.Voters, voterOver("s2", "b")), nil
	})
	scene.WaitSatisfiable(t, all...) // b has compared rules since it started (ruling R9)

	// a dies: b reports alone once s1 is behind b.
	all[0].Kill9(t)
	s.Proxy = all[1]
	c = s.Begin(t, "on")
	s.Held(t, c, flushOf, "s2")
	s1.Set(t, "primary_conninfo = '"+all[1].Conninfo()+"'")
	s1.Reload()
	c.Released(t)
}

// A proxy that starts while all other members are dead holds commits back until the operator says that they
// are gone. That is remembered; who comes back counts again.
func TestLoneRestart(t *testing.T) {
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	all := proxies(t, in, primary, "ANY 1 (s1)", "a", "b")
	a, b := all[0], all[1]
	s := &scene.QuorumSite{Site: &scene.Site{In: in, Primary: primary, Proxy: a}}
	scene.StandbyOf(t, primary, a, "s1", "")
	primary.Set(t, "synchronous_standby_names = 'a'")
	primary.Reload()
	scene.WaitSatisfiable(t, a)
	s.Begin(t, "on").Released(t)

	b.Kill9(t)
	s.Begin(t, "on").Released(t) // a has heard b
	a.Kill9(t)
	a.Start(t)
	c := s.Begin(t, "on")
	s.Held(t, c, flushOf, "s1")
	if q := scene.Status(t, a).Quorum; !slices.Equal(q.Awaited, []string{"b"}) {
		t.Errorf("waits for %v", q.Awaited)
	}
	a.Program(t, "forget", "b", "--data-dir", a.DataDir)
	c.Released(t)
	a.Kill9(t)
	a.Start(t)
	s.Begin(t, "on").Released(t)
	if q := scene.Status(t, a).Quorum; !slices.Equal(q.Forgotten, []string{"b"}) {
		t.Errorf("has forgotten %v", q.Forgotten)
	}
	b.Start(t)
	pgtest.WaitFor(t, time.Minute, "b to count again", func() (bool, error) {
		q := scene.Status(t, a).Quorum
		return len(q.Forgotten)+len(q.Unconfirmed) == 0, nil
	})
	s.Begin(t, "on").Released(t)
}

// The rule is taken away in the whole cluster. SIGHUP refuses that, and so does drop-rule while the primary waits for
// a proxy. drop-rule --force does it. The rule is respected until the last proxy has done it, and is not back after a
// restart.
func TestDropRule(t *testing.T) {
	in := pgtest.Usual(t)
	primary := in.Primary(t)
	primary.Exec(t, "CREATE TABLE q (n int)")
	all := proxies(t, in, primary, "ANY 1 (s1)", "a", "b")
	s := &scene.QuorumSite{Site: &scene.Site{In: in, Primary: primary, Proxy: all[0]}}
	primary.Set(t, "synchronous_standby_names = 'a'")
	primary.Reload()
	var c *scene.Commit // nobody is s1
	pgtest.WaitFor(t, time.Minute, "the primary to wait for a", func() (bool, error) {
		c = s.Begin(t, "on") // the checkpointer may not have read the setting yet
		return s.Waits(t, c), nil
	})
	for i, p := range all {
		p.Replace(t, "ANY 1 (s1)", "")
		p.Signal(syscall.SIGHUP)
		pgtest.WaitFor(t, time.Minute, "the empty rule to be refused", func() (bool, error) {
			return strings.Contains(scene.Status(t, p).Config.LastError, "drop-rule"), nil
		})
		s.Held(t, c, flushOf)
		out, err := exec.Command(pgtest.Binary(t), "drop-rule", "--data-dir", p.DataDir).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "still waits for a") {
			t.Errorf("the primary waits for a: %v: %s", err, out)
		}
		p.Program(t, "drop-rule", "--force", "--data-dir", p.DataDir)
		if st := scene.Status(t, p); st.Quorum.Rule != "" || st.Config.LastError != "" {
			t.Errorf("proxy %d: rule %q, %s", i, st.Quorum.Rule, st.Config.LastError)
		}
	}
	c.Released(t)
	all[0].Restart(t)
	s.Begin(t, "on").Released(t)
}

// Proxies that have no rule report as soon as they have heard each other, on the connection that they began with.
// Nothing may be reported before, but that is no rule, and the slot does not change hands.
func TestClusterWithoutRule(t *testing.T) {
	in := pgtest.Usual(t)
	primary := in.Primary(t)
	all := proxies(t, in, primary, "", "a", "b")
	primary.Exec(t, "CREATE TABLE q (n int)")
	at := primary.CurrentLSN(t)
	for _, p := range all {
		pgtest.WaitFor(t, time.Minute, "a report", func() (bool, error) {
			return scene.Status(t, p).Upstream.ReportedFlush >= at, nil
		})
		if up := scene.Status(t, p).Upstream; up.Reconnects != 0 || up.LastError != "" {
			t.Errorf("%d reconnects, %s", up.Reconnects, up.LastError)
		}
	}
}

// The shared key is changed while both proxies run. Afterwards one that comes back with the new key alone is heard,
// and a file that is no key file changes nothing.
func TestKeyRotation(t *testing.T) {
	in := pgtest.Usual(t)
	all := proxies(t, in, in.Primary(t), "", "a", "b")
	key := func(b byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) + "\n" }
	reload := func(lines string) {
		t.Helper()
		for _, p := range all {
			generation := scene.Status(t, p).Config.Generation
			path := filepath.Join(p.SocketDir, "key")
			p.WriteFile(t, path, lines)
			if err := os.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}
			p.Signal(syscall.SIGHUP)
			pgtest.WaitFor(t, time.Minute, "the reload", func() (bool, error) {
				c := scene.Status(t, p).Config
				return c.Generation == generation+1 || c.LastError != "", nil
			})
		}
	}
	linked := func() {
		t.Helper()
		pgtest.WaitFor(t, time.Minute, "the proxies to hear each other", func() (bool, error) {
			for _, p := range all {
				c := scene.Status(t, p).Cluster
				if c == nil || len(c.Peers) != 1 || !c.Peers[0].Sending || c.Peers[0].Heard.IsZero() {
					return false, nil
				}
			}
			return true, nil
		})
	}
	linked()
	for _, lines := range []string{key(0) + key(1), key(1) + key(0), key(1)} {
		reload(lines)
	}
	all[1].Kill9(t)
	all[1].Start(t)
	linked()
	reload("no key\n")
	if e := scene.Status(t, all[0]).Config.LastError; !strings.Contains(e, "cluster.key_file") {
		t.Errorf("a file without keys: %q", e)
	}
}
