package failover

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/replproxy/replproxy/conformance/pgtest"
	"github.com/replproxy/replproxy/conformance/scene"
	"github.com/replproxy/replproxy/grammar/lsn"
)

// siblings are two servers that were standbys of one primary, and a proxy that knows both.
type siblings struct {
	*scene.Cluster // whose candidate is the one that is followed
	rival          *pgtest.Server
	one            *pgtest.Server // behind the proxy
}

// newSiblings stops the primary for good when both standbys and the proxy have all of it.
func newSiblings(t *testing.T, rival ...string) *siblings {
	t.Helper()
	in := pgtest.Usual(t)
	settings := pgtest.Settings("wal_keep_size = 2GB", "max_wal_size = 2GB")
	c := &siblings{Cluster: &scene.Cluster{In: in, Primary: in.Primary(t, settings)}}
	c.Candidate = in.Standby(t, pgtest.StandbyOptions{From: c.Primary}, settings, pgtest.Name("candidate"))
	c.rival = in.Standby(t, pgtest.StandbyOptions{From: c.Primary}, settings, pgtest.Name("rival"), pgtest.Settings(rival...))
	c.Proxy = pgtest.StartProxy(t, pgtest.ProxyOptions{Upstream: scene.Hosts(c.Primary, c.Candidate, c.rival)})
	c.Primary.Exec(t, scene.LoadTable)
	c.one = c.Standby(t, "one")
	scene.Write(t, c.Primary, 20)
	c.Follows(t, c.Primary, 1, c.one)
	c.Primary.Stop(t, pgtest.Fast) // the same shutdown checkpoint reaches all
	return c
}

// promoteRival makes the rival a primary while nobody sees it.
func (c *siblings) promoteRival(t *testing.T) {
	t.Helper()
	c.Candidate.Stop(t, pgtest.Fast)
	c.Proxy.Terminate(t)
	c.rival.Promote(t)
	c.rival.Exec(t, "CHECKPOINT")
	c.rival.Stop(t, pgtest.Fast)
	c.Proxy.StartNoWait(t)
	c.Candidate.Start(t)
}

// stopAtSegmentEnd stops the candidate when the proxy has all of its WAL, and that ends with a segment.
func (c *siblings) stopAtSegmentEnd(t *testing.T) {
	t.Helper()
	size := c.Candidate.SegSize(t)
	for range 10 { // now and then somebody writes a record after the switch
		c.Candidate.Exec(t, "CHECKPOINT")
		c.Candidate.Exec(t, "SELECT pg_switch_wal()")
		at := c.Candidate.CurrentLSN(t)
		pgtest.WaitFor(t, pgtest.ReplayTimeout, "the proxy to have it all", func() (bool, error) {
			return scene.Status(t, c.Proxy).Store.Flushed >= at, nil
		})
		c.Candidate.Stop(t, pgtest.Immediate)
		if size.IsStart(scene.Status(t, c.Proxy).Store.Received) {
			return
		}
		c.Candidate.Start(t)
	}
	t.Fatal("the candidate's WAL never ended with a segment")
}

// hides makes the rival forget the WAL around the end of the store before the proxy sees it: nothing can be sent again.
func (c *siblings) hides(t *testing.T) {
	t.Helper()
	end := scene.Status(t, c.Proxy).Store.Received
	c.Proxy.Signal(syscall.SIGSTOP)
	t.Cleanup(func() { c.Proxy.Signal(syscall.SIGCONT) }) // or it could not end
	c.rival.Set(t, "wal_keep_size = 0", "min_wal_size = 32MB", "max_wal_size = 32MB")
	c.rival.Start(t)
	size := c.rival.SegSize(t)
	before := filepath.Join(c.rival.WALDir(), size.FileName(2, size.Segno(end-1)))
	for c.rival.CurrentLSN(t) < end {
		scene.WriteWAL(t, c.rival, 1)
	}
	if _, err := os.Stat(before); err != nil {
		t.Fatalf("the rival never had that segment: %v", err)
	}
	c.rival.Exec(t, "CHECKPOINT")
	if _, err := os.Stat(before); !os.IsNotExist(err) {
		t.Fatalf("%s: %v, want it removed", before, err)
	}
	c.Proxy.Signal(syscall.SIGCONT)
}

// refusesRival lets the rival come while the candidate is away. The proxy says why it does not follow, and nothing of
// the rival reaches the standby, which goes on with the candidate.
func (c *siblings) refusesRival(t *testing.T, why string) {
	t.Helper()
	at := scene.Status(t, c.Proxy).Store.Received
	if !c.rival.Running() {
		c.rival.Start(t)
		scene.WriteWAL(t, c.rival, 32) // it has more than the store
	}
	scene.Logged(t, "the proxy", c.Proxy.Log, why)
	if got := scene.Status(t, c.Proxy).Store.Received; got != at {
		t.Errorf("the store went from %s to %s", at, got)
	}
	c.rival.Stop(t, pgtest.Immediate)
	c.Candidate.Start(t)
	scene.Write(t, c.Candidate, 20)
	c.Follows(t, c.Candidate, 2, c.one)
	(&scene.Site{Primary: c.Candidate}).VerifySegments(t, c.Proxy)
}

// Two servers were promoted to one timeline number at one and the same position, so that their histories
// are equal. The bytes tell, even where PostgreSQL would send none of them again.
func TestSiblingOfSameTimeline(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"within a segment", "at its end", "at the end of a removed one"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			c := newSiblings(t)
			c.promoteRival(t)
			c.Candidate.Promote(t)
			scene.Write(t, c.Candidate, 20)
			c.Follows(t, c.Candidate, 2, c.one)
			if a, b := c.history(t, c.Candidate, 2), c.history(t, c.rival, 2); a != b {
				t.Fatalf("the histories tell them apart: %q, %q", a, b)
			}
			switch where {
			case "within a segment":
				c.Candidate.Stop(t, pgtest.Immediate)
			case "at its end":
				c.stopAtSegmentEnd(t)
			default:
				c.stopAtSegmentEnd(t)
				c.hides(t)
			}
			c.refusesRival(t, "differs from what is stored")
		})
	}
}

func (c *siblings) history(t *testing.T, s *pgtest.Server, tli lsn.TimelineID) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.WALDir(), tli.HistoryFileName()))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// The rival was promoted from timeline 1 to 3, the candidate to 2: the higher number is no reason to
// follow, as its history does not lead through timeline 2.
func TestSiblingOfHigherTimeline(t *testing.T) {
	t.Parallel()
	c := newSiblings(t, "recovery_target_timeline = 'current'")
	c.rival.Set(t, "recovery_target_timeline = 'current'") // or it would follow to timeline 2
	c.rival.Restart(t)
	// A history file of timeline 2 is all that makes a server choose 3.
	history := fmt.Sprintf("1\t%s\tno recovery target specified\n", c.rival.ReplayLSN(t))
	if err := os.WriteFile(filepath.Join(c.rival.WALDir(), lsn.TimelineID(2).HistoryFileName()), []byte(history), 0o644); err != nil {
		t.Fatal(err)
	}
	c.promoteRival(t)
	c.Candidate.Promote(t)
	scene.Write(t, c.Candidate, 20)
	c.Follows(t, c.Candidate, 2, c.one)
	if got := c.history(t, c.rival, 3); !strings.HasPrefix(got, "1\t") || strings.Contains(got, "\n") {
		t.Fatalf("the rival's history: %q", got)
	}
	c.Candidate.Stop(t, pgtest.Immediate)
	c.refusesRival(t, "requested timeline 2 is not in this server's history")
}
