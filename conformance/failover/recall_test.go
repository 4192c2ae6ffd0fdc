package failover

import (
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Two proxies refuse the wrong primary by the word of a third one, which dies. They refuse it after a restart as well,
// one beside the other, or one beside another that ran on. The third one's word is asked for anew when it is back.
func TestRefusalIsRecalled(t *testing.T) {
	t.Parallel()
	for _, both := range []bool{true, false} {
		t.Run(map[bool]string{true: "both", false: "one"}[both], func(t *testing.T) {
			t.Parallel()
			m := newMistake(t)
			a, b, c := m.all[0], m.all[1], m.all[2]
			pgtest.WaitCaughtUp(t, m.primary, m.s3)
			pgtest.WaitCaughtUp(t, m.primary, m.wrong)
			m.wrong.Stop(t, pgtest.Fast)
			b.Kill9(t)
			c.Kill9(t)
			m.primary.Exec(t, "INSERT INTO q SELECT generate_series(2, 1000)") // acknowledged by a and s1
			flushed(t, a, m.primary.CurrentLSN(t))
			m.primary.Kill9(t)
			a.Kill9(t)
			m.wrong.Start(t)
			m.wrong.Promote(t)
			a.StartNoWait(t)
			waitLack(t, a)
			b.StartNoWait(t)
			c.StartNoWait(t)
			for _, p := range []*pgtest.Proxy{b, c} {
				if l := waitLack(t, p).Upstream.Lack; l.By != "a" || l.To == lsn.Invalid {
					t.Errorf("%s: %+v", p.Name, l)
				}
			}
			a.Kill9(t)
			if both {
				b.Kill9(t)
				b.StartNoWait(t)
			}
			c.Kill9(t)
			c.StartNoWait(t)
			if releases(t, m.wrong, "INSERT INTO q VALUES (-1)", 30*time.Second) { // a is waited for half of that
				t.Error("a commit of the wrong primary is acknowledged after a restart")
			}
			if l := waitLack(t, c).Upstream.Lack; l.By != "a" {
				t.Errorf("%+v", l)
			}
			c.Program(t, "accept-timeline", "2", "--data-dir", c.DataDir)
			streams(t, c)
		})
	}
}
