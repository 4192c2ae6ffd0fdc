package quorum

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/proxy/admin"
)

// Two servers are promoted to one timeline number, and two proxies of one cluster follow different ones. What b's store
// has is beyond each commit at a's server by its number, and is other WAL: it releases nothing there, and proves nothing.
func TestSiblingsDoNotVote(t *testing.T) {
	for name, together := range map[string]bool{"one after the other": false, "at one position": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			siblingVotes(t, together)
		})
	}
}

// siblingVotes plays it; together: history files can't tell the servers apart, only their first WAL.
func siblingVotes(t *testing.T, together bool) {
	in := pgtest.Usual(t)
	primary := in.Primary(t, pgtest.Settings("wal_keep_size = 1GB"))
	primary.Exec(t, "CREATE TABLE q (n int)")
	standby := func(name string) *pgtest.Server {
		return in.Standby(t, pgtest.StandbyOptions{From: primary}, pgtest.Name(name), pgtest.Settings("wal_keep_size = 1GB"))
	}
	right, wrong := standby("right"), standby("wrong")
	follow := func(servers ...*pgtest.Server) {
		primary.Exec(t, "INSERT INTO q SELECT generate_series(1, 100)")
		at := primary.CurrentLSN(t)
		for _, s := range servers {
			s.WaitReplay(t, at)
		}
	}
	if follow(right, wrong); !together {
		right.Promote(t)
		follow(wrong)
	}
	primary.Kill9(t)
	if together {
		right.Promote(t)
	}
	wrong.Promote(t)
	wrong.Exec(t, "INSERT INTO q SELECT generate_series(1, 100000)") // it is far ahead, in numbers

	a, b := apart(t, right, wrong, "ANY 2 (a, b)")
	s := &scene.QuorumSite{Site: &scene.Site{In: in, Primary: right, Proxy: a}}
	pgtest.WaitFor(t, time.Minute, "a to know what b follows", func() (bool, error) {
		voters := scene.Status(t, a).Quorum.Voters
		return slices.ContainsFunc(voters, func(v admin.QuorumVoter) bool {
			return v.Name == "b" && v.Node == "b" && v.Standing == "its node has another history of this timeline"
		}), nil
	})
	right.WaitsFor(t, "a")
	c := s.Begin(t, "on")
	s.Held(t, c, flushOf)

	if together {
		return
	}
	for _, p := range []*pgtest.Proxy{a, b} {
		p.Program(t, "fence", "--timeline", "2", "--data-dir", p.DataDir)
	}
	pgtest.WaitFor(t, time.Minute, "a to know of both fences", func() (bool, error) {
		_, tail, err := a.Get(t.Context(), "/tail?candidate=s1")
		return err == nil && strings.Contains(string(tail), "here it begins at"), err
	})
}

// apart starts the members a and b of one cluster, in front of different servers, one after the other.
func apart(t *testing.T, ofA, ofB *pgtest.Server, rule string) (a, b *pgtest.Proxy) {
	t.Helper()
	var all []*pgtest.Proxy
	var binds []string
	for i, upstream := range []*pgtest.Server{ofA, ofB} {
		all = append(all, pgtest.StartProxy(t, pgtest.ProxyOptions{
			Name: []string{"a", "b"}[i], Upstream: upstream.Conninfo(), Config: "{}\n", Stopped: true,
		}))
		binds = append(binds, fmt.Sprintf("127.0.0.1:%d", pgtest.FreePort(t)))
	}
	for i, cluster := range pgtest.Cluster(t, binds, all...) {
		all[i].Configure(t, scene.RuleFile(rule)+cluster)
	}
	for _, p := range all {
		p.StartNoWait(t)
		pgtest.WaitFor(t, time.Minute, p.Name+" to stream", func() (bool, error) {
			code, _, err := p.Get(t.Context(), "/healthz")
			return err == nil && code == 200 && scene.Status(t, p).Upstream.State == admin.Streaming, nil
		})
	}
	return all[0], all[1]
}
