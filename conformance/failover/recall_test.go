package failover

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/fanout/walstore"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// Two proxies refuse the wrong primary by the word of a third one, which dies. They refuse it after a restart as well,
// one beside the other, or one beside another that ran on. The third one's word is asked for anew when it is back. It may
// have lost its store, and not know up to where it had reported.
func TestRefusalIsRecalled(t *testing.T) {
	t.Parallel()
	for _, restarts := range []string{"both", "one", "one, by the word of an emptied store"} {
		t.Run(restarts, func(t *testing.T) {
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
			emptied := restarts != "both" && restarts != "one"
			if emptied { // while it reports, before the stream has ended
				a.Kill9(t)
				if err := os.RemoveAll(filepath.Join(a.DataDir, "wal")); err != nil {
					t.Fatal(err)
				}
			}
			m.primary.Kill9(t)
			if !emptied {
				a.Kill9(t)
			}
			m.wrong.Start(t)
			m.wrong.Promote(t)
			a.StartNoWait(t)
			waitLack(t, a)
			b.StartNoWait(t)
			c.StartNoWait(t)
			for _, p := range []*pgtest.Proxy{b, c} {
				if l := waitLack(t, p).Upstream.Lack; l.By != "a" || l.To == lsn.Invalid || (l.To == walstore.PromisedAll) != emptied {
					t.Errorf("%s: %+v", p.Name, l)
				}
			}
			a.Kill9(t)
			if restarts == "both" {
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
