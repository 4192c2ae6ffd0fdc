package scene

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
)

// AccessFile returns the access rules that pgtest gives as arguments, as lines of a configuration file. The release
// before does not know the arguments.
func AccessFile() string {
	return "access:\n  - \"" + strings.Join(pgtest.TrustLoopback(), "\"\n  - \"") + "\"\n"
}

// ClusterOf starts a cluster of proxies that have upstream and config in common.
func ClusterOf(t *testing.T, upstream, config string, names ...string) []*pgtest.Proxy {
	t.Helper()
	return ClusterThat(t, pgtest.ProxyOptions{Upstream: upstream}, config, names...)
}

// ClusterThat starts a cluster of proxies that have the options o, upstream among them, and config in common.
func ClusterThat(t *testing.T, o pgtest.ProxyOptions, config string, names ...string) []*pgtest.Proxy {
	t.Helper()
	upstream := o.Upstream
	return ClusterEach(t, o, config, func(string) string { return upstream }, names...)
}

// ClusterEach starts a cluster of proxies as ClusterThat does, each with the upstream that upstream returns for its
// name.
func ClusterEach(t *testing.T, o pgtest.ProxyOptions, config string, upstream func(name string) string,
	names ...string) []*pgtest.Proxy {
	t.Helper()
	return ClusterWith(t, config, func(name string) pgtest.ProxyOptions {
		o.Upstream = upstream(name)
		return o
	}, names...)
}

// ClusterWith starts a cluster of proxies that have config in common, each with the options that it has by its name.
func ClusterWith(t *testing.T, config string, options func(name string) pgtest.ProxyOptions, names ...string,
) []*pgtest.Proxy {
	t.Helper()
	var all []*pgtest.Proxy
	var binds []string
	for _, name := range names {
		o := options(name)
		o.Name, o.Config, o.Stopped = name, "{}\n", true
		all = append(all, pgtest.StartProxy(t, o))
		binds = append(binds, fmt.Sprintf("127.0.0.1:%d", pgtest.FreePort(t)))
	}
	for i, cluster := range pgtest.Cluster(t, binds, all...) {
		all[i].Configure(t, config+cluster)
	}
	for _, p := range all {
		p.StartNoWait(t)
	}
	for _, p := range all {
		p.WaitReady(t)
	}
	return all
}

// WaitSatisfiable waits until each of the proxies knows enough standbys for its rule.
func WaitSatisfiable(t *testing.T, all ...*pgtest.Proxy) {
	t.Helper()
	pgtest.WaitFor(t, time.Minute, "all proxies to be able to satisfy the rule", func() (bool, error) {
		for _, p := range all {
			q := Status(t, p).Quorum
			if len(q.Levels) != 3 || !q.Levels[1].Satisfiable {
				return false, nil
			}
		}
		return true, nil
	})
}
