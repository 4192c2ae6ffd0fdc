package failover

import (
	"strings"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
)

// Two proxies follow a primary while a third one is away for longer than a member takes to be heard. When that one is
// back, it refuses the primary, by what it may have acknowledged. The two go on: nobody can tell whether its bound was
// reached, and the primary may have all. They say so, also after a restart, until the operator has given that WAL up.
func TestMemberComesLate(t *testing.T) {
	t.Parallel()
	m := newMistake(t)
	primary, wrong, a, b, c := m.primary, m.wrong, m.all[0], m.all[1], m.all[2]
	pgtest.WaitCaughtUp(t, primary, m.s3)
	pgtest.WaitCaughtUp(t, primary, wrong)
	wrong.Stop(t, pgtest.Fast)
	b.Kill9(t)
	c.Kill9(t)                                                       // and s3 behind it
	primary.Exec(t, "INSERT INTO q SELECT generate_series(2, 1000)") // acknowledged by a and s1
	acked := primary.CurrentLSN(t)
	flushed(t, a, acked)
	primary.Kill9(t)
	a.Kill9(t)
	wrong.Start(t)
	wrong.Promote(t)
	b.StartNoWait(t)
	c.StartNoWait(t)
	streams(t, b)
	streams(t, c)
	scene.Attached(t, c, "s3")
	wrong.Exec(t, "INSERT INTO q VALUES (-1)") // a could be gone with the primary

	a.StartNoWait(t)
	waitLack(t, a)
	for _, p := range m.all[1:] {
		warnsOfA(t, p)
	}
	wrong.Exec(t, "INSERT INTO q VALUES (-2)")
	c.Kill9(t)
	c.StartNoWait(t)
	streams(t, c)
	scene.Attached(t, c, "s3")
	warnsOfA(t, c)

	a.Program(t, "accept-timeline", "2", "--data-dir", a.DataDir)
	streams(t, a)
	for _, p := range m.all[1:] {
		pgtest.WaitFor(t, time.Minute, p.Name+" to have nothing to say of a", func() (bool, error) {
			return !strings.Contains(strings.Join(scene.Status(t, p).Warnings, "\n"), "was away when"), nil
		})
	}
	wrong.Exec(t, "INSERT INTO q VALUES (-3)")
}

// warnsOfA waits until a proxy says what a may have acknowledged.
func warnsOfA(t *testing.T, p *pgtest.Proxy) {
	t.Helper()
	pgtest.WaitFor(t, time.Minute, p.Name+" to warn of what a may have acknowledged", func() (bool, error) {
		return strings.Contains(strings.Join(scene.Status(t, p).Warnings, "\n"),
			"a was away when timeline 2 was followed, and may have acknowledged WAL of timeline 1 from "), nil
	})
}

// follow has a standby stream from a proxy.
func follow(t *testing.T, s *pgtest.Server, p *pgtest.Proxy, settings string) {
	t.Helper()
	s.Set(t, "primary_conninfo = '"+p.Conninfo("application_name="+s.Name)+"'", settings)
	s.Reload()
	scene.Attached(t, p, s.Name)
}

// streams waits until WAL comes in.
func streams(t *testing.T, p *pgtest.Proxy) {
	t.Helper()
	pgtest.WaitFor(t, time.Minute, p.Name+" to stream", func() (bool, error) {
		_, body, err := p.Get(t.Context(), "/status")
		return err == nil && strings.Contains(string(body), `"state": "streaming"`), nil
	})
}
