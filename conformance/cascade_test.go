package conformance

import (
	"path/filepath"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// A failover behind which a second proxy stands: it is led to the new timeline by the first, over the same
// connection, and leads its own standbys.
func TestFailoverThroughTwoProxies(t *testing.T) {
	t.Parallel()
	pgtest.ForSomeMajors(t, func(t *testing.T, in *pgtest.Install) {
		t.Parallel()
		c := newCluster(t, in)
		far := &cluster{in: in, primary: c.primary, candidate: c.candidate,
			proxy: pgtest.StartProxy(t, pgtest.ProxyOptions{Name: "far", Upstream: c.proxy.Conninfo()})}
		one, two := c.standby(t, "one"), far.standby(t, "two")
		write(t, c.primary, 50)
		c.follows(t, c.primary, 1, one)
		far.follows(t, c.primary, 1, two)
		pgtest.WaitCaughtUp(t, c.primary, c.candidate)
		near, behind, reconnects := c.sessions(t), far.sessions(t), status(t, far.proxy).Upstream.Reconnects

		c.primary.Kill9(t)
		c.candidate.Promote(t)
		write(t, c.candidate, 50)
		c.follows(t, c.candidate, 2, one)
		far.follows(t, c.candidate, 2, two)
		if after := c.sessions(t); after["one"] != near["one"] || after["far"] != near["far"] {
			t.Errorf("sessions of the first proxy were %v and are %v", near, after)
		}
		if after := far.sessions(t); after["two"] != behind["two"] {
			t.Errorf("sessions of the second proxy were %v and are %v", behind, after)
		}
		if after := status(t, far.proxy).Upstream.Reconnects; after != reconnects {
			t.Errorf("the second proxy reconnected %d times", after-reconnects)
		}
		(&site{primary: c.candidate}).verifySegments(t, far.proxy)
		pgtest.WaitStreaming(t, c.candidate, 1)
	}, 18)
}

// The new primary lacks WAL that both proxies have, and both learn of it in other ways: the first is down while
// that happens, the second is told by it. Neither serves that WAL to anybody.
func TestFailoverWhileProxyIsDown(t *testing.T) {
	t.Parallel()
	c := newCluster(t, pgtest.Usual(t))
	far := &cluster{in: c.in, primary: c.primary, candidate: c.candidate,
		proxy: pgtest.StartProxy(t, pgtest.ProxyOptions{Name: "far", Upstream: c.proxy.Conninfo()})}
	one, two := c.standby(t, "one"), far.standby(t, "two")
	write(t, c.primary, 50)
	c.follows(t, c.primary, 1, one)
	far.follows(t, c.primary, 1, two)
	pgtest.WaitCaughtUp(t, c.primary, c.candidate)
	for _, s := range []*pgtest.Server{one, two, c.candidate} { // or one of them might be beyond it
		s.Stop(t, pgtest.Fast)
	}
	writeWAL(t, c.primary, 20)
	write(t, c.primary, 50)
	lost := c.primary.CurrentLSN(t)
	for _, proxy := range []*pgtest.Proxy{c.proxy, far.proxy} {
		pgtest.WaitFor(t, pgtest.ReplayTimeout, proxy.Name+" to have it all", func() (bool, error) {
			return status(t, proxy).Store.Flushed >= lost, nil
		})
	}
	c.proxy.Kill9(t)
	c.primary.Kill9(t)
	c.candidate.Start(t)
	c.candidate.Promote(t)
	write(t, c.candidate, 50)
	c.proxy.Start(t)
	c.follows(t, c.candidate, 2)
	far.follows(t, c.candidate, 2) // until then it gives what it has, as nobody has told it
	one.Start(t)
	two.Start(t)
	c.follows(t, c.candidate, 2, one)
	far.follows(t, c.candidate, 2, two)
	size := c.candidate.SegSize(t)
	for _, proxy := range []*pgtest.Proxy{c.proxy, far.proxy} {
		(&cluster{proxy: proxy}).verifyAside(t)
		(&site{primary: c.candidate}).verifySegments(t, proxy)
		last := size.FileName(1, size.Segno(lost-1))
		if files, err := filepath.Glob(filepath.Join(proxy.DataDir, "diverged", "1-*", last)); err != nil || len(files) != 1 {
			t.Errorf("%s kept no file with the WAL up to %s: %v, %v", proxy.Name, lost, files, err)
		}
	}
}
