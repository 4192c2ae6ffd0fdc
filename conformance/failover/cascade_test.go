package failover

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// A failover behind which a second proxy stands: it is led to the new timeline by the first, over the same
// connection, and leads its own standbys.
func TestFailoverThroughTwoProxies(t *testing.T) {
	t.Parallel()
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		c := newCluster(t, in)
		far := &scene.Cluster{In: in, Primary: c.Primary, Candidate: c.Candidate,
			Proxy: pgtest.StartProxy(t, pgtest.ProxyOptions{Name: "far", Upstream: c.Proxy.Conninfo()})}
		one, two := c.Standby(t, "one"), far.Standby(t, "two")
		scene.Write(t, c.Primary, 50)
		c.Follows(t, c.Primary, 1, one)
		far.Follows(t, c.Primary, 1, two)
		pgtest.WaitCaughtUp(t, c.Primary, c.Candidate)
		near, behind, reconnects := c.Sessions(t), far.Sessions(t), scene.Status(t, far.Proxy).Upstream.Reconnects

		c.Primary.Kill9(t)
		c.Candidate.Promote(t)
		scene.Write(t, c.Candidate, 50)
		c.Follows(t, c.Candidate, 2, one)
		far.Follows(t, c.Candidate, 2, two)
		// Where the fork lies within what the second proxy has reported, by the beginning of a record, it begins anew.
		anew := strings.Count(far.Proxy.Log(), "more was reported than the new timeline has in common")
		if after := c.Sessions(t); after["one"] != near["one"] || after["far"] != near["far"] && anew == 0 {
			t.Errorf("sessions of the first proxy were %v and are %v", near, after)
		}
		if after := far.Sessions(t); after["two"] != behind["two"] {
			t.Errorf("sessions of the second proxy were %v and are %v", behind, after)
		}
		if after := scene.Status(t, far.Proxy).Upstream.Reconnects; int(after-reconnects) != anew {
			t.Errorf("the second proxy reconnected %d times", after-reconnects)
		}
		(&scene.Site{Primary: c.Candidate}).VerifySegments(t, far.Proxy)
		pgtest.WaitStreaming(t, c.Candidate, 1)
	}, 18)
}

// The new primary lacks WAL that both proxies have, and both learn of it in other ways: the first is down while
// that happens, the second is told by it. Neither serves that WAL to anybody.
func TestFailoverWhileProxyIsDown(t *testing.T) {
	t.Parallel()
	c := newCluster(t, pgtest.Usual(t))
	far := &scene.Cluster{In: c.In, Primary: c.Primary, Candidate: c.Candidate,
		Proxy: pgtest.StartProxy(t, pgtest.ProxyOptions{Name: "far", Upstream: c.Proxy.Conninfo()})}
	one, two := c.Standby(t, "one"), far.Standby(t, "two")
	scene.Write(t, c.Primary, 50)
	c.Follows(t, c.Primary, 1, one)
	far.Follows(t, c.Primary, 1, two)
	pgtest.WaitCaughtUp(t, c.Primary, c.Candidate)
	for _, s := range []*pgtest.Server{one, two, c.Candidate} { // or one of them might be beyond it
		s.Stop(t, pgtest.Fast)
	}
	scene.WriteWAL(t, c.Primary, 20)
	scene.Write(t, c.Primary, 50)
	lost := c.Primary.CurrentLSN(t)
	for _, proxy := range []*pgtest.Proxy{c.Proxy, far.Proxy} {
		pgtest.WaitFor(t, pgtest.ReplayTimeout, proxy.Name+" to have it all", func() (bool, error) {
			return scene.Status(t, proxy).Store.Flushed >= lost, nil
		})
	}
	c.Proxy.Kill9(t)
	c.Primary.Kill9(t)
	c.Candidate.Start(t)
	c.Candidate.Promote(t)
	scene.Write(t, c.Candidate, 50)
	c.Proxy.Start(t)
	c.Follows(t, c.Candidate, 2)
	far.Follows(t, c.Candidate, 2) // until then it gives what it has, as nobody has told it
	one.Start(t)
	two.Start(t)
	c.Follows(t, c.Candidate, 2, one)
	far.Follows(t, c.Candidate, 2, two)
	size := c.Candidate.SegSize(t)
	for _, proxy := range []*pgtest.Proxy{c.Proxy, far.Proxy} {
		(&scene.Cluster{Proxy: proxy}).VerifyAside(t)
		(&scene.Site{Primary: c.Candidate}).VerifySegments(t, proxy)
		last := size.FileName(1, size.Segno(lost-1))
		if files, err := filepath.Glob(filepath.Join(proxy.DataDir, "diverged", "1-*", last)); err != nil || len(files) != 1 {
			t.Errorf("%s kept no file with the WAL up to %s: %v, %v", proxy.Name, lost, files, err)
		}
	}
}
